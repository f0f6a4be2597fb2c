//! Which rows run next: a state machine without threads and clocks.
//!
//! A ticket comes in windows of inputs, which are prepared in order. When a lane is free, deficit round
//! robin ([Shreedhar and Varghese 1995](https://doi.org/10.1145/217382.217453)) says which ticket has its
//! turn; the longest row of its oldest window is the anchor; the rows nearest to it in length fill the
//! batch, of whichever ticket they are. Each ticket pays for its own rows. A window is run before the
//! next one gives an anchor, so that no row starves. The longest row first, so that memory is at its
//! peak at once and the last batches, which the lanes finish at different times, are small.

use std::collections::{BTreeMap, HashMap, VecDeque};

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

/// Limits of one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most rows times the longest of them; a longer row is a batch of its own.
    pub(super) tokens: usize,
    /// Most rows.
    pub(super) rows: usize,
    /// Batches that run at once, which share what interactive tickets wait for.
    pub(super) lanes: usize,
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
    pub(super) inputs: Vec<(usize, I)>,
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
    rows: BTreeMap<Place, (u64, Row<P>)>,
    tickets_seen: u64,
    rows_seen: u64,
}

/// Where a row waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    pool: Pool,
    length: usize,
    number: u64,
}

#[derive(Debug)]
struct Ticket<I> {
    class: Class,
    inputs: VecDeque<(u64, VecDeque<(usize, I)>)>,
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
            tickets_seen: 0,
            rows_seen: 0,
        }
    }

    /// A new ticket without inputs.
    pub(super) fn open(&mut self, class: Class) -> TicketId {
        self.tickets_seen += 1;
        let ticket = Ticket {
            class,
            inputs: VecDeque::new(),
            windows_seen: 0,
            rows: BTreeMap::new(),
            deficit: 0,
            active: false,
        };
        self.tickets.insert(self.tickets_seen, ticket);
        self.tickets_seen
    }

    /// Another window of a ticket: inputs with their positions. Nothing where the ticket is gone.
    pub(super) fn push(&mut self, id: TicketId, inputs: impl IntoIterator<Item = (usize, I)>) {
        let Some(ticket) = self.tickets.get_mut(&id) else { return };
        let inputs: VecDeque<_> = inputs.into_iter().collect();
        if inputs.is_empty() {
            return;
        }
        if ticket.inputs.is_empty() {
            self.unprepared.push_back(id);
        }
        ticket.windows_seen += 1;
        ticket.inputs.push_back((ticket.windows_seen, inputs));
    }

    /// The inputs that are prepared next, at most `most` of one window.
    pub(super) fn next_inputs(&mut self, most: usize) -> Option<Chunk<I>> {
        // Somebody waits for interactive rows.
        let waits = |id: &TicketId| {
            self.tickets.get(id).is_some_and(|ticket| ticket.class == Class::Interactive)
        };
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
        Some(Chunk { ticket: id, window, inputs: chunk })
    }

    /// A row that was prepared. Dropped where its ticket is gone.
    pub(super) fn add(&mut self, window: u64, row: Row<P>) {
        let (pool, length) = (row.pool, row.length);
        let Some(ticket) = self.tickets.get_mut(&row.ticket) else { return };
        self.rows_seen += 1;
        let number = self.rows_seen;
        ticket.rows.insert((window, length, number), pool);
        if !ticket.active {
            ticket.active = true;
            match ticket.class {
                Class::Interactive => self.interactive.push_back(row.ticket),
                Class::Bulk => self.bulk.push_back(row.ticket),
            }
        }
        self.rows.insert(Place { pool, length, number }, (window, row));
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
            && let Some(place) = self.nearest(anchor, longest, batch.len())
        {
            longest = longest.max(place.length);
            self.take(place, &mut batch);
        }
        Some(batch)
    }

    /// A ticket that is done with, or that nobody waits for any more: its inputs and rows are gone.
    pub(super) fn close(&mut self, id: TicketId) {
        let Some(ticket) = self.tickets.remove(&id) else { return };
        for (&(_, length, number), &pool) in &ticket.rows {
            self.rows.remove(&Place { pool, length, number });
        }
        self.unprepared.retain(|&other| other != id);
        self.interactive.retain(|&other| other != id);
        self.bulk.retain(|&other| other != id);
    }

    /// The class of a ticket that is open.
    pub(super) fn class(&self, id: TicketId) -> Option<Class> {
        self.tickets.get(&id).map(|ticket| ticket.class)
    }

    /// True where nothing waits, neither to be prepared nor to be run.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unprepared.is_empty()
    }

    /// The longest row in the oldest window of the ticket whose turn it is.
    fn anchor(&mut self) -> Option<Place> {
        let interactive = match (self.interactive.is_empty(), self.bulk.is_empty()) {
            (true, true) => return None,
            (true, false) => false,
            (false, true) => true,
            (false, false) => self.interactive_run < INTERACTIVE_RUN,
        };
        self.interactive_run = if interactive { self.interactive_run + 1 } else { 0 };
        let round = if interactive { &mut self.interactive } else { &mut self.bulk };
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
            return Some(Place { pool, length, number });
        }
    }

    /// The row that is nearest to the anchor in length, of those that fit beside `count` rows.
    fn nearest(&self, anchor: Place, longest: usize, count: usize) -> Option<Place> {
        let tokens = self.limits.tokens;
        let grouping = anchor.pool.grouping;
        if grouping == Grouping::Alone {
            return None;
        }
        let fits = |longest: usize| (count + 1).saturating_mul(longest) <= tokens;
        let start = Place { length: anchor.length, number: 0, ..anchor };
        let same_pool = |place: &&Place| place.pool == anchor.pool;
        let above = self.rows.range(start..).next().map(|(place, _)| place).filter(same_pool);
        let above = above.filter(|place| fits(longest.max(place.length)));
        if grouping == Grouping::SameLength {
            return above.filter(|place| place.length == anchor.length).copied();
        }
        let below = self.rows.range(..start).next_back().map(|(place, _)| place).filter(same_pool);
        let below = below.filter(|_| fits(longest));
        match (below, above) {
            (Some(below), Some(above)) => {
                let nearer_above = above.length - anchor.length < anchor.length - below.length;
                Some(if nearer_above { *above } else { *below })
            }
            (below, above) => below.or(above).copied(),
        }
    }

    fn take(&mut self, place: Place, batch: &mut Vec<Row<P>>) {
        let Some((window, row)) = self.rows.remove(&place) else { return };
        if let Some(ticket) = self.tickets.get_mut(&row.ticket) {
            ticket.deficit -= isize::try_from(place.length.max(1)).unwrap_or(isize::MAX);
            ticket.rows.remove(&(window, place.length, place.number));
        }
        batch.push(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { tokens: 64, rows: 8, lanes: 1 };
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
            for (index, length) in chunk.inputs {
                let ticket = chunk.ticket;
                queue.add(chunk.window, Row { ticket, index, pool, length, prepared: length });
            }
        }
    }

    fn lengths(batch: &[Row<usize>]) -> Vec<usize> {
        batch.iter().map(|row| row.prepared).collect()
    }

    fn submit(queue: &mut Queue<usize, usize>, class: Class, lengths: &[usize]) -> TicketId {
        let id = queue.open(class);
        queue.push(id, lengths.iter().copied().enumerate());
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
                        let id = queue.open(class);
                        opened += 1;
                        let mut at = 0;
                        for _ in 0..random.below(3) {
                            let count = random.below(40);
                            queue.push(id, (at..at + count).map(|index| (index, index)));
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
                            for (index, input) in chunk.inputs {
                                assert_eq!(index, input);
                                let (ticket, length) = (chunk.ticket, random.below(80));
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
        }
    }
}
