//! Places for labels: beside their points, and on no other label and no point. A label without such a
//! place is left out.

/// Height of a label, as a multiple of the font's size.
const HEIGHT: f64 = 1.15;
/// Distance of a label to its point, beyond the point's radius.
const GAP: f64 = 2.0;
/// Side of the cells in which points are looked up.
const CELL: f64 = 32.0;

/// An area from its upper left to its lower right corner; y grows downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Area {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn is_within(&self, outer: &Self) -> bool {
        self.left >= outer.left
            && self.right <= outer.right
            && self.top >= outer.top
            && self.bottom <= outer.bottom
    }
}

/// Sizes of what is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) radius: f64,
    pub(crate) font: f64,
}

/// An area for each label, in the order of the points. The first points have the first choice; an empty
/// label has no place.
pub(crate) fn place(
    points: &[[f64; 2]],
    labels: &[&str],
    frame: Area,
    sizes: Sizes,
) -> Vec<Option<Area>> {
    let marks = Marks::new(points, frame, sizes.radius);
    let mut taken: Vec<Area> = Vec::new();
    let mut places = Vec::with_capacity(points.len());
    for (at, (&point, label)) in points.iter().zip(labels).enumerate() {
        let free = |area: &Area| {
            area.is_within(&frame)
                && !taken.iter().any(|other| other.overlaps(area))
                && !marks.any(area, at)
        };
        let width = width(label) * sizes.font;
        let place = (width > 0.0).then(|| around(point, width, sizes).into_iter().find(free));
        let place = place.flatten();
        taken.extend(place);
        places.push(place);
    }
    places
}

/// Candidates beside a point, the best first: right, left, above, below, and between them.
fn around([x, y]: [f64; 2], width: f64, sizes: Sizes) -> [Area; 8] {
    let height = sizes.font * HEIGHT;
    let (far, near) = (sizes.radius + GAP, sizes.radius * 0.7 + GAP);
    let at = |left: f64, top: f64| Area { left, top, right: left + width, bottom: top + height };
    [
        at(x + far, y - height / 2.0),
        at(x - far - width, y - height / 2.0),
        at(x - width / 2.0, y - far - height),
        at(x - width / 2.0, y + far),
        at(x + near, y - near - height),
        at(x + near, y + near),
        at(x - near - width, y - near - height),
        at(x - near - width, y + near),
    ]
}

/// The points, by the cell in which they are.
struct Marks<'a> {
    points: &'a [[f64; 2]],
    radius: f64,
    frame: Area,
    columns: usize,
    cells: Vec<Vec<usize>>,
}

impl<'a> Marks<'a> {
    fn new(points: &'a [[f64; 2]], frame: Area, radius: f64) -> Self {
        let columns = cell(frame.right - frame.left) + 1;
        let rows = cell(frame.bottom - frame.top) + 1;
        let cells = vec![Vec::new(); columns * rows];
        let mut marks = Self { points, radius, frame, columns, cells };
        for (at, &[x, y]) in points.iter().enumerate() {
            let index = marks.index(marks.column(x), marks.row(y));
            marks.cells[index].push(at);
        }
        marks
    }

    fn column(&self, x: f64) -> usize {
        cell(x - self.frame.left).min(self.columns - 1)
    }

    fn row(&self, y: f64) -> usize {
        cell(y - self.frame.top).min(self.cells.len() / self.columns - 1)
    }

    fn index(&self, column: usize, row: usize) -> usize {
        row * self.columns + column
    }

    /// True if a point other than `own` is in an area.
    fn any(&self, area: &Area, own: usize) -> bool {
        let r = self.radius;
        let hit = |&at: &usize| {
            let [x, y] = self.points[at];
            let mark = Area { left: x - r, top: y - r, right: x + r, bottom: y + r };
            at != own && mark.overlaps(area)
        };
        let columns = self.column(area.left - r)..=self.column(area.right + r);
        (self.row(area.top - r)..=self.row(area.bottom + r)).any(|row| {
            columns.clone().any(|column| self.cells[self.index(column, row)].iter().any(hit))
        })
    }
}

/// Number of the cell at a distance from the first one's beginning.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates: what is before the first cell is in it"
)]
fn cell(distance: f64) -> usize {
    (distance / CELL) as usize
}

/// Width of a text in a wide sans serif face, as a multiple of the font's size: an upper bound for the
/// common faces, since which one is used is known to the viewer alone.
pub(crate) fn width(text: &str) -> f64 {
    text.chars().map(advance).sum()
}

fn advance(char: char) -> f64 {
    match char {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.4,
        'f' | 'r' | 't' | '(' | ')' | '[' | ']' | '/' | '\\' | '-' | 'I' | 'J' => 0.45,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' | '—' => 1.0,
        'A'..='Z' | '+' | '=' | '<' | '>' | '~' | '#' | '&' => 0.84,
        ' '..='~' => 0.65,
        // Latin, Greek, Cyrillic and the like.
        '\u{80}'..='\u{10FF}' => 0.85,
        _ => 1.25,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Area = Area { left: 0.0, top: 0.0, right: 400.0, bottom: 300.0 };
    const SIZES: Sizes = Sizes { radius: 3.0, font: 10.0 };

    fn placed(points: &[[f64; 2]], label: &str) -> Vec<Option<Area>> {
        place(points, &vec![label; points.len()], FRAME, SIZES)
    }

    #[test]
    fn a_label_is_beside_its_point_and_within_the_frame() {
        let inside = placed(&[[200.0, 150.0]], "label")[0].unwrap();
        assert!(inside.left > 203.0 && inside.top < 150.0 && inside.bottom > 150.0);
        for corner in [[3.0, 3.0], [397.0, 3.0], [3.0, 297.0], [397.0, 297.0]] {
            assert!(placed(&[corner], "label")[0].unwrap().is_within(&FRAME), "{corner:?}");
        }
        assert_eq!(placed(&[[200.0, 150.0]], &"long".repeat(100)), [None]);
        assert_eq!(placed(&[[200.0, 150.0]], ""), [None]);
    }

    #[test]
    fn nothing_overlaps_and_the_first_points_are_served_first() {
        let mut state = 1_u32;
        let mut next = |most: f64| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            3.0 + f64::from(state >> 8) / f64::from(1 << 24) * (most - 6.0)
        };
        let points: Vec<_> = (0..300).map(|_| [next(400.0), next(300.0)]).collect();
        let places = placed(&points, "label");
        let areas: Vec<_> = places.iter().copied().flatten().collect();
        assert!(areas.len() > 20 && areas.len() < 300, "{}", areas.len());
        for (at, area) in areas.iter().enumerate() {
            assert!(area.is_within(&FRAME));
            assert!(areas[at + 1..].iter().all(|other| !other.overlaps(area)));
        }
        for (own, area) in places.iter().enumerate() {
            let Some(area) = area else { continue };
            for (at, &[x, y]) in points.iter().enumerate() {
                let mark = Area { left: x - 3.0, top: y - 3.0, right: x + 3.0, bottom: y + 3.0 };
                assert!(at == own || !mark.overlaps(area), "{own} {at}");
            }
        }
    }

    #[test]
    fn points_at_one_place_share_the_room_around_it() {
        let count = placed(&[[200.0, 150.0]; 50], "label").iter().flatten().count();
        assert!((2..=8).contains(&count), "{count}");
    }

    #[test]
    fn wide_characters_take_more_room() {
        assert!(width("iii") < width("aaa") && width("aaa") < width("WWW"));
        assert!(width("日本") > width("ab"));
        assert_eq!(width(""), 0.0);
    }
}
