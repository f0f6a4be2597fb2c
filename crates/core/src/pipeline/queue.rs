//! Which rows run next: a state machine without threads and clocks.
//!
//! A ticket comes in windows of inputs, which are prepared in order. When a lane is free, deficit round
//! robin ([Shreedhar and Varghese 1995](https://doi.org/10.1145/217382.217453)) says which ticket has its
//! turn; the longest row of its oldest window is the anchor; the rows nearest to it in length fill the
//! batch, of whichever ticket they are. Each ticket pays for its own rows. A window is run before the
//! next one gives an anchor, so that no row starves. The longest row first, so that memory is at its
//! peak at once and the last batches, which the lanes finish at different times, are small.
//!
//! Tokens that wait are counted for tickets that are bounded by them: by an estimate until an input is
//! prepared, then by its length, until it runs, fails, or is given up.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Instant,
};

/// A ticket, numbered in order of arrival.
pub(super) type TicketId = u64;

/// How urgent a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A few rows that somebody waits for.
    Interactive,
    /// Many rows, which get their share whatever else comes.
    Bulk,
}

/// Which rows of a pool may share a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grouping {
    /// Any: padding does not change a row's result.
    Any,
    /// Only rows of one length: padding would change the result.
    SameLength,
    /// None: neighbours would change the result.
    Alone,
}

/// Where a row looks for its neighbours: rows of two pools never share a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pool {
    /// Whatever rows have to have in common, such as the task of an adapter.
    pub key: u32,
    /// Which rows of one key may share a batch.
    pub grouping: Grouping,
}

impl Pool {
    /// The only pool of a model whose rows differ in length alone.
    #[must_use]
    pub fn new(grouping: Grouping) -> Self {
        Self { key: 0, grouping }
    }
}

/// Batches with an interactive anchor after which a waiting bulk ticket gives one.
const INTERACTIVE_RUN: usize = 3;

/// Limits of one batch and of the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most rows times the longest of them; a longer row is a batch of its own.
    pub(super) tokens: usize,
    /// Most rows.
    pub(super) rows: usize,
    /// Batches that run at once, which share what interactive tickets wait for.
    pub(super) lanes: usize,
    /// Most tokens of a class that wait on bounded tickets.
    pub(super) waiting: usize,
}

/// Terms that a ticket is opened with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) class: Class,
    /// Rows that have not begun to run by then are given up.
    pub(super) deadline: Option<Instant>,
    /// Its tokens count among those that wait.
    pub(super) bounded: bool,
}

/// An input on its way to be prepared.
#[derive(Debug)]
pub(super) struct Unprepared<I> {
    /// Position in its ticket.
    pub(super) index: usize,
    pub(super) input: I,
    /// Estimate of its tokens, for a bounded ticket.
    pub(super) estimate: usize,
}

/// A row on its way to a batch.
#[derive(Debug)]
pub(super) struct Row<P> {
    pub(super) ticket: TicketId,
    /// Position of the input in its ticket.
    pub(super) index: usize,
    pub(super) pool: Pool,
    pub(super) length: usize,
    pub(super) prepared: P,
}

/// Inputs of one ticket that are prepared together.
#[derive(Debug)]
pub(super) struct Chunk<I> {
    pub(super) ticket: TicketId,
    pub(super) window: u64,
    pub(super) deadline: Option<Instant>,
    pub(super) inputs: Vec<Unprepared<I>>,
}

#[derive(Debug)]
pub(super) struct Queue<I, P> {
    limits: Limits,
    tickets: HashMap<TicketId, Ticket<I>>,
    /// Tickets with rows, those whose turn is next first.
    interactive: VecDeque<TicketId>,
    bulk: VecDeque<TicketId>,
    interactive_run: usize,
    /// Tickets with inputs to prepare, in turn.
    unprepared: VecDeque<TicketId>,
    /// Rows by pool and length, then by arrival; with each its window.
    rows: BTreeMap<Slot, (u64, Row<P>)>,
    /// Deadlines of tickets with something that waits.
    deadlines: BTreeSet<(Instant, TicketId)>,
    /// Tokens that wait on bounded tickets, by class.
    waiting: [usize; 2],
    tickets_seen: u64,
    rows_seen: u64,
}

/// Position of a row among those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    pool: Pool,
    length: usize,
    number: u64,
}

#[derive(Debug)]
struct Ticket<I> {
    terms: Terms,
    /// Tokens that it has among those that wait.
    waiting: usize,
    inputs: VecDeque<(u64, VecDeque<Unprepared<I>>)>,
    windows_seen: u64,
    /// Rows by window; within it by length, so that the last is the longest.
    rows: BTreeMap<(u64, usize, u64), Pool>,
    /// Tokens that it may still run in this turn; negative after a batch that was larger.
    deficit: isize,
    /// It stands in the round of its class.
    active: bool,
}

impl<I, P> Queue<I, P> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            tickets: HashMap::new(),
            interactive: VecDeque::new(),
            bulk: VecDeque::new(),
            interactive_run: 0,
            unprepared: VecDeque::new(),
            rows: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            waiting: [0; 2],
            tickets_seen: 0,
            rows_seen: 0,
        }
    }

    /// True where a bounded ticket with so many tokens has room. One that is larger than all room there
    /// is has to itself what there is.
    pub(super) fn has_room(&self, class: Class, tokens: usize) -> bool {
        self.excess(class, tokens) == 0
    }

    /// Tokens that wait on bounded tickets.
    pub(super) fn waiting(&self, class: Class) -> usize {
        self.waiting[class as usize]
    }

    /// Tokens that have to leave before so many more have room.
    pub(super) fn excess(&self, class: Class, tokens: usize) -> usize {
        let waiting = self.waiting[class as usize];
        waiting.saturating_add(tokens).saturating_sub(self.limits.waiting).min(waiting)
    }

    /// A new ticket without inputs.
    pub(super) fn open(&mut self, terms: Terms) -> TicketId {
        self.tickets_seen += 1;
        let ticket = Ticket {
            terms,
            waiting: 0,
            inputs: VecDeque::new(),
            windows_seen: 0,
            rows: BTreeMap::new(),
            deficit: 0,
            active: false,
        };
        self.tickets.insert(self.tickets_seen, ticket);
        self.tickets_seen
    }

    /// Another window of a ticket. Nothing where the ticket is gone.
    pub(super) fn push(&mut self, id: TicketId, inputs: impl IntoIterator<Item = Unprepared<I>>) {
        let Some(ticket) = self.tickets.get_mut(&id) else { return };
        let inputs: VecDeque<_> = inputs.into_iter().collect();
        if inputs.is_empty() {
            return;
        }
        if ticket.inputs.is_empty() {
            self.unprepared.push_back(id);
        }
        let tokens = inputs.iter().map(|input| input.estimate).sum();
        ticket.windows_seen += 1;
        ticket.inputs.push_back((ticket.windows_seen, inputs));
        self.deadlines.extend(ticket.terms.deadline.map(|deadline| (deadline, id)));
        self.arrive(id, tokens);
    }

    /// The inputs that are prepared next, at most `most` of one window.
    pub(super) fn next_inputs(&mut self, most: usize) -> Option<Chunk<I>> {
        // Somebody waits for interactive rows.
        let waits = |id: &TicketId| self.class(*id) == Some(Class::Interactive);
        let turn = self.unprepared.iter().position(waits).unwrap_or(0);
        let id = self.unprepared.remove(turn)?;
        let ticket = self.tickets.get_mut(&id)?;
        let (window, inputs) = ticket.inputs.front_mut()?;
        let window = *window;
        let count = most.clamp(1, inputs.len());
        let chunk = inputs.drain(..count).collect();
        if inputs.is_empty() {
            ticket.inputs.pop_front();
        }
        if !ticket.inputs.is_empty() {
            self.unprepared.push_back(id);
        }
        Some(Chunk { ticket: id, window, deadline: ticket.terms.deadline, inputs: chunk })
    }

    /// Counts tokens of a ticket among those that wait, if it is a bounded one.
    fn arrive(&mut self, id: TicketId, tokens: usize) {
        let Some(ticket) = self.tickets.get_mut(&id).filter(|ticket| ticket.terms.bounded) else {
            return;
        };
        ticket.waiting += tokens;
        self.waiting[ticket.terms.class as usize] += tokens;
    }

    /// Tokens that wait no more: they run, failed, or have become rows.
    pub(super) fn leave(&mut self, id: TicketId, tokens: usize) {
        let Some(ticket) = self.tickets.get_mut(&id).filter(|ticket| ticket.terms.bounded) else {
            return;
        };
        ticket.waiting -= tokens;
        self.waiting[ticket.terms.class as usize] -= tokens;
    }

    /// A row that was prepared. Dropped where its ticket is gone.
    pub(super) fn add(&mut self, window: u64, row: Row<P>) {
        let (id, pool, length) = (row.ticket, row.pool, row.length);
        self.arrive(id, length);
        let Some(ticket) = self.tickets.get_mut(&id) else { return };
        self.deadlines.extend(ticket.terms.deadline.map(|deadline| (deadline, id)));
        self.rows_seen += 1;
        let number = self.rows_seen;
        ticket.rows.insert((window, length, number), pool);
        if !ticket.active {
            ticket.active = true;
            match ticket.terms.class {
                Class::Interactive => self.interactive.push_back(id),
                Class::Bulk => self.bulk.push_back(id),
            }
        }
        self.rows.insert(Slot { pool, length, number }, (window, row));
    }

    /// The next batch; `None` where no row waits.
    pub(super) fn next_batch(&mut self) -> Option<Vec<Row<P>>> {
        let anchor = self.anchor()?;
        let mut batch = Vec::new();
        let mut longest = anchor.length;
        // Each lane gets its share of the rows that somebody waits for, lest one runs them all in a
        // batch and the others have none.
        let share = self.rows.len().div_ceil(self.limits.lanes.max(1));
        self.take(anchor, &mut batch);
        let class = batch.first().and_then(|row| self.class(row.ticket));
        let most = match class {
            Some(Class::Interactive) => self.limits.rows.min(share),
            _ => self.limits.rows,
        };
        while batch.len() < most
            && let Some(slot) = self.nearest(anchor, longest, batch.len())
        {
            longest = longest.max(slot.length);
            self.take(slot, &mut batch);
        }
        Some(batch)
    }

    /// Gives up what waits on tickets whose deadline has passed: positions of inputs, by ticket. Inputs
    /// that are being prepared are given up when they come back.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(TicketId, Vec<usize>)> {
        let mut expired = Vec::new();
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            let Some(ticket) = self.tickets.get_mut(&id) else { continue };
            let inputs = std::mem::take(&mut ticket.inputs);
            let rows = std::mem::take(&mut ticket.rows);
            let (mut indices, mut tokens) = (Vec::new(), 0);
            for input in inputs.into_iter().flat_map(|(_, inputs)| inputs) {
                indices.push(input.index);
                tokens += input.estimate;
            }
            for ((_, length, number), pool) in rows {
                let row = self.rows.remove(&Slot { pool, length, number });
                indices.extend(row.map(|(_, row)| row.index));
                tokens += length;
            }
            self.unprepared.retain(|&other| other != id);
            self.leave(id, tokens);
            expired.push((id, indices));
        }
        expired
    }

    /// The earliest deadline of a ticket with something that waits.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// A ticket that is done with, or that nobody waits for any more: its inputs and rows are gone.
    pub(super) fn close(&mut self, id: TicketId) {
        let Some(ticket) = self.tickets.remove(&id) else { return };
        for (&(_, length, number), &pool) in &ticket.rows {
            self.rows.remove(&Slot { pool, length, number });
        }
        self.waiting[ticket.terms.class as usize] -= ticket.waiting;
        if let Some(deadline) = ticket.terms.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.unprepared.retain(|&other| other != id);
        self.interactive.retain(|&other| other != id);
        self.bulk.retain(|&other| other != id);
    }

    /// The class of a ticket that is open.
    pub(super) fn class(&self, id: TicketId) -> Option<Class> {
        self.tickets.get(&id).map(|ticket| ticket.terms.class)
    }

    /// True where nothing waits, neither to be prepared nor to be run.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_rows() && !self.has_inputs()
    }

    /// True where rows wait to be run.
    pub(super) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// True where inputs wait to be prepared.
    pub(super) fn has_inputs(&self) -> bool {
        !self.unprepared.is_empty()
    }

    /// The longest row in the oldest window of the ticket whose turn it is.
    fn anchor(&mut self) -> Option<Slot> {
        let classes = if self.interactive_run < INTERACTIVE_RUN {
            [Class::Interactive, Class::Bulk]
        } else {
            [Class::Bulk, Class::Interactive]
        };
        let found = |class| self.anchor_of(class).map(|slot| (class, slot));
        let (class, slot) = classes.into_iter().find_map(found)?;
        self.interactive_run = match class {
            Class::Interactive => self.interactive_run + 1,
            Class::Bulk => 0,
        };
        Some(slot)
    }

    fn anchor_of(&mut self, class: Class) -> Option<Slot> {
        let round = match class {
            Class::Interactive => &mut self.interactive,
            Class::Bulk => &mut self.bulk,
        };
        loop {
            let id = round.pop_front()?;
            let Some(ticket) = self.tickets.get_mut(&id) else { continue };
            let Some((&(window, ..), _)) = ticket.rows.first_key_value() else {
                ticket.active = false;
                ticket.deficit = 0;
                continue;
            };
            let of_window = ticket.rows.range((window, 0, 0)..(window + 1, 0, 0));
            let (&(_, length, number), &pool) = of_window.last()?;
            if ticket.deficit <= 0 {
                // A batch of such rows.
                let Limits { tokens, rows, .. } = self.limits;
                let quantum = tokens.min(rows.saturating_mul(length)).max(length).max(1);
                let quantum = isize::try_from(quantum).unwrap_or(isize::MAX);
                ticket.deficit = ticket.deficit.saturating_add(quantum);
                if ticket.deficit <= 0 || !round.is_empty() {
                    round.push_back(id);
                    continue;
                }
            }
            round.push_front(id);
            return Some(Slot { pool, length, number });
        }
    }

    /// The row that is nearest to the anchor in length, of those that fit beside `count` rows.
    fn nearest(&self, anchor: Slot, longest: usize, count: usize) -> Option<Slot> {
        let tokens = self.limits.tokens;
        let grouping = anchor.pool.grouping;
        if grouping == Grouping::Alone {
            return None;
        }
        let fits = |longest: usize| (count + 1).saturating_mul(longest) <= tokens;
        let start = Slot { length: anchor.length, number: 0, ..anchor };
        let same_pool = |slot: &&Slot| slot.pool == anchor.pool;
        let above = self.rows.range(start..).next().map(|(slot, _)| slot).filter(same_pool);
        let above = above.filter(|slot| fits(longest.max(slot.length)));
        if grouping == Grouping::SameLength {
            return above.filter(|slot| slot.length == anchor.length).copied();
        }
        let below = self.rows.range(..start).next_back().map(|(slot, _)| slot).filter(same_pool);
        let below = below.filter(|_| fits(longest));
        match (below, above) {
            (Some(below), Some(above)) => {
                let nearer_above = above.length - anchor.length < anchor.length - below.length;
                Some(if nearer_above { *above } else { *below })
            }
            (below, above) => below.or(above).copied(),
        }
    }

    fn take(&mut self, slot: Slot, batch: &mut Vec<Row<P>>) {
        let Some((window, row)) = self.rows.remove(&slot) else { return };
        self.leave(row.ticket, slot.length);
        if let Some(ticket) = self.tickets.get_mut(&row.ticket) {
            ticket.deficit -= isize::try_from(slot.length.max(1)).unwrap_or(isize::MAX);
            ticket.rows.remove(&(window, slot.length, slot.number));
        }
        batch.push(row);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits { tokens: 64, rows: 8, lanes: 1, waiting: 1000 };
    const ANY: Pool = Pool { key: 0, grouping: Grouping::Any };

    /// Numbers that look random and are the same every time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % end
        }
    }

    fn prepare_all(queue: &mut Queue<usize, usize>, pool: Pool) {
        while let Some(chunk) = queue.next_inputs(3) {
            let ticket = chunk.ticket;
            for Unprepared { index, input: length, estimate } in chunk.inputs {
                queue.leave(ticket, estimate);
                queue.add(chunk.window, Row { ticket, index, pool, length, prepared: length });
            }
        }
    }

    fn lengths(batch: &[Row<usize>]) -> Vec<usize> {
        batch.iter().map(|row| row.prepared).collect()
    }

    /// Inputs whose estimate is always wrong.
    fn inputs(
        inputs: impl Iterator<Item = (usize, usize)>,
    ) -> impl Iterator<Item = Unprepared<usize>> {
        inputs.map(|(index, input)| Unprepared { index, input, estimate: input + 3 })
    }

    fn submit(queue: &mut Queue<usize, usize>, class: Class, lengths: &[usize]) -> TicketId {
        let id = queue.open(Terms { class, deadline: None, bounded: true });
        queue.push(id, inputs(lengths.iter().copied().enumerate()));
        id
    }

    #[test]
    fn a_batch_is_the_longest_row_and_those_nearest_to_it() {
        let mut queue = Queue::new(LIMITS);
        submit(&mut queue, Class::Bulk, &[3, 20, 4, 19, 18, 2, 5]);
        prepare_all(&mut queue, ANY);
        assert_eq!(lengths(&queue.next_batch().unwrap()), [20, 19, 18]);
        assert_eq!(lengths(&queue.next_batch().unwrap()), [5, 4, 3, 2]);
        assert!(queue.next_batch().is_none());
    }

    #[test]
    fn rows_of_other_tickets_fill_a_batch() {
        let mut queue = Queue::new(LIMITS);
        for length in [7, 30, 8, 6] {
            submit(&mut queue, Class::Interactive, &[length]);
        }
        prepare_all(&mut queue, ANY);
        assert_eq!(lengths(&queue.next_batch().unwrap()), [7, 6, 8]);
        assert_eq!(lengths(&queue.next_batch().unwrap()), [30]);
    }

    #[test]
    fn lanes_share_what_somebody_waits_for() {
        let mut queue = Queue::new(Limits { lanes: 2, ..LIMITS });
        for length in [7, 8, 6, 7, 8] {
            submit(&mut queue, Class::Interactive, &[length]);
        }
        prepare_all(&mut queue, ANY);
        assert_eq!(lengths(&queue.next_batch().unwrap()), [7, 7, 6]);
        assert_eq!(lengths(&queue.next_batch().unwrap()), [8]);
        assert_eq!(lengths(&queue.next_batch().unwrap()), [8]);
        // A stream is not in a hurry.
        submit(&mut queue, Class::Bulk, &[7; 5]);
        prepare_all(&mut queue, ANY);
        assert_eq!(queue.next_batch().unwrap().len(), 5);
    }

    #[test]
    fn a_query_beside_a_stream_is_in_the_next_batch() {
        let mut queue = Queue::new(LIMITS);
        submit(&mut queue, Class::Bulk, &[60; 100]);
        prepare_all(&mut queue, ANY);
        queue.next_batch().unwrap();
        let query = submit(&mut queue, Class::Interactive, &[5]);
        prepare_all(&mut queue, ANY);
        assert_eq!(queue.next_batch().unwrap()[0].ticket, query);
    }

    #[test]
    fn queries_leave_a_stream_its_share() {
        let mut queue = Queue::new(LIMITS);
        let stream = submit(&mut queue, Class::Bulk, &[60; 20]);
        for _ in 0..200 {
            submit(&mut queue, Class::Interactive, &[40]);
        }
        prepare_all(&mut queue, ANY);
        let of_stream = (0..80).filter(|_| queue.next_batch().unwrap()[0].ticket == stream);
        assert_eq!(of_stream.count(), 20);
    }

    #[test]
    fn streams_share_alike_whatever_they_ask_for() {
        let mut queue = Queue::new(LIMITS);
        let long = submit(&mut queue, Class::Bulk, &[64; 500]);
        let short = submit(&mut queue, Class::Bulk, &[8; 4000]);
        prepare_all(&mut queue, Pool::new(Grouping::SameLength));
        let mut tokens = HashMap::new();
        for _ in 0..400 {
            for row in queue.next_batch().unwrap() {
                *tokens.entry(row.ticket).or_insert(0) += row.prepared;
            }
        }
        assert!(tokens[&long].abs_diff(tokens[&short]) <= 2 * LIMITS.tokens, "{tokens:?}");
    }

    #[test]
    fn a_class_without_rows_leaves_its_turn_to_the_other() {
        let mut queue = Queue::new(LIMITS);
        for length in [60, 60, 60, 10] {
            submit(&mut queue, Class::Interactive, &[length]);
        }
        let stream = submit(&mut queue, Class::Bulk, &[10]);
        queue.push(stream, inputs([(1, 60)].into_iter()));
        prepare_all(&mut queue, ANY);
        for batch in [&[60][..], &[60], &[60]] {
            assert_eq!(lengths(&queue.next_batch().unwrap()), batch);
        }
        // The last query rides along with the stream, whose turn it is.
        assert_eq!(lengths(&queue.next_batch().unwrap()), [10, 10]);
        assert_eq!(lengths(&queue.next_batch().unwrap()), [60]);
        assert!(queue.next_batch().is_none());
    }

    #[test]
    fn tokens_that_wait_are_those_of_bounded_tickets() {
        let mut queue = Queue::new(Limits { waiting: 100, ..LIMITS });
        let stream = queue.open(Terms { class: Class::Bulk, deadline: None, bounded: false });
        queue.push(stream, inputs([(0, 500)].into_iter()));
        assert_eq!(queue.waiting, [0, 0]);
        submit(&mut queue, Class::Bulk, &[40, 50]);
        // By their estimates, three more each.
        assert_eq!(queue.waiting, [0, 96]);
        assert!(queue.has_room(Class::Bulk, 4) && !queue.has_room(Class::Bulk, 5));
        assert_eq!(queue.excess(Class::Bulk, 24), 20);
        // The other class has room of its own, and what is larger than all room waits for all of it.
        assert!(queue.has_room(Class::Interactive, 1000));
        assert_eq!(queue.excess(Class::Bulk, 1000), 96);
        prepare_all(&mut queue, ANY);
        assert_eq!(queue.waiting, [0, 90]);
        let dropped = submit(&mut queue, Class::Bulk, &[7]);
        queue.close(dropped);
        assert_eq!(queue.waiting, [0, 90]);
        while queue.next_batch().is_some() {}
        assert_eq!(queue.waiting, [0, 0]);
    }

    #[test]
    fn what_waits_is_given_up_at_its_deadline() {
        let start = Instant::now();
        let [early, late] = [1, 2].map(|seconds| start + Duration::from_secs(seconds));
        let mut queue = Queue::new(LIMITS);
        let mut open = |deadline, count| {
            let terms = Terms { class: Class::Bulk, deadline, bounded: true };
            let id = queue.open(terms);
            queue.push(id, inputs((0..count).map(|index| (index, 30))));
            id
        };
        let (first, second, other) = (open(Some(early), 5), open(Some(late), 2), open(None, 1));
        // Three of the first are rows, one runs, and two are inputs.
        let chunk = queue.next_inputs(3).unwrap();
        for Unprepared { index, input: length, estimate } in chunk.inputs {
            queue.leave(first, estimate);
            let row = Row { ticket: first, index, pool: ANY, length, prepared: length };
            queue.add(chunk.window, row);
        }
        queue.limits.rows = 1;
        assert_eq!(queue.next_batch().unwrap()[0].ticket, first);
        assert!(queue.expire(start).is_empty());
        let mut expired = queue.expire(early);
        expired[0].1.sort_unstable();
        assert_eq!(expired, [(first, vec![0, 1, 3, 4])]);
        assert_eq!(queue.next_deadline(), Some(late));
        // One that is prepared too late is given up the next time.
        queue.add(1, Row { ticket: first, index: 9, pool: ANY, length: 1, prepared: 1 });
        assert_eq!(queue.expire(early), [(first, vec![9])]);
        assert_eq!(queue.expire(late), [(second, vec![0, 1])]);
        prepare_all(&mut queue, ANY);
        assert_eq!(queue.next_batch().unwrap()[0].ticket, other);
        assert!(queue.next_batch().is_none() && queue.waiting == [0, 0]);
    }

    #[test]
    fn each_row_is_in_one_batch_whatever_happens() {
        for seed in 0..200 {
            let mut random = Random(seed);
            let grouping = [Grouping::Any, Grouping::SameLength, Grouping::Alone][random.below(3)];
            let mut queue = Queue::new(LIMITS);
            let mut missing: HashMap<TicketId, Vec<bool>> = HashMap::new();
            let mut opened = 0;
            while opened < 30 || !missing.is_empty() {
                match random.below(8) {
                    0 | 1 if opened < 30 => {
                        let class = [Class::Interactive, Class::Bulk][random.below(2)];
                        let bounded = random.below(2) == 0;
                        let id = queue.open(Terms { class, deadline: None, bounded });
                        opened += 1;
                        let mut at = 0;
                        for _ in 0..random.below(3) {
                            let count = random.below(40);
                            queue.push(id, inputs((at..at + count).map(|index| (index, index))));
                            at += count;
                        }
                        if at > 0 {
                            missing.insert(id, vec![true; at]);
                        } else {
                            queue.close(id);
                        }
                    }
                    2 if random.below(10) == 0 => {
                        if let Some(&id) = missing.keys().min() {
                            missing.remove(&id);
                            queue.close(id);
                        }
                    }
                    3..6 => {
                        if let Some(chunk) = queue.next_inputs(1 + random.below(9)) {
                            for Unprepared { index, input, estimate } in chunk.inputs {
                                assert_eq!(index, input);
                                let (ticket, length) = (chunk.ticket, random.below(80));
                                queue.leave(ticket, estimate);
                                let pool = Pool { key: (index % 2) as u32, grouping };
                                let row = Row { ticket, index, pool, length, prepared: input };
                                queue.add(chunk.window, row);
                            }
                        }
                    }
                    _ => {
                        let batch = queue.next_batch().unwrap_or_default();
                        assert!(batch.len() <= LIMITS.rows);
                        assert!(batch.iter().all(|row| row.index % 2 == batch[0].index % 2));
                        for row in batch {
                            let rows = missing.get_mut(&row.ticket).expect("a ticket that is open");
                            assert!(std::mem::take(&mut rows[row.index]), "a row runs once");
                            if rows.iter().all(|&row| !row) {
                                missing.remove(&row.ticket);
                                queue.close(row.ticket);
                            }
                        }
                    }
                }
            }
            assert_eq!((queue.rows.len(), queue.tickets.len()), (0, 0));
            assert_eq!(queue.waiting, [0, 0]);
        }
    }
}
