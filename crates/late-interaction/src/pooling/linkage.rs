//! Ward's hierarchical clustering by the nearest-neighbour chain, and a cut through its tree.
//!
//! The algorithm is that of [Müllner 2011](https://arxiv.org/abs/1109.2378), figure 3, in quadratic
//! time; which neighbour is taken where several are equally near is SciPy's choice.

use super::Distances;

/// Two clusters that become one, each named by one of its members.
struct Merge {
    a: usize,
    b: usize,
    height: f64,
}

/// For each thing the first one of its cluster, where the tree is cut so that at most `most`
/// clusters are left: at a height, so that equal heights can leave fewer.
pub(super) fn clusters(distances: Distances, most: usize) -> Vec<usize> {
    let len = distances.len;
    let mut leaders: Vec<usize> = (0..len).collect();
    if most >= len {
        return leaders;
    }
    let mut merges = ward(distances);
    merges.sort_by(|a, b| a.height.total_cmp(&b.height));
    // There is one merge less than there are things, and each leaves one cluster less.
    let cut = merges[len - most.max(1) - 1].height;
    for merge in merges.iter().take_while(|merge| merge.height <= cut) {
        let (a, b) = (leader(&mut leaders, merge.a), leader(&mut leaders, merge.b));
        leaders[a.max(b)] = a.min(b);
    }
    (0..len).map(|member| leader(&mut leaders, member)).collect()
}

/// The first member of a cluster, with shorter ways to it for the next time.
fn leader(leaders: &mut [usize], mut member: usize) -> usize {
    while leaders[member] != member {
        leaders[member] = leaders[leaders[member]];
        member = leaders[member];
    }
    member
}

/// All merges, in the order in which they are found.
fn ward(mut distances: Distances) -> Vec<Merge> {
    let len = distances.len;
    // Clusters that are still there, ascending; each has the name of its last merge's second part.
    let mut clusters: Vec<usize> = (0..len).collect();
    let mut sizes = vec![1.0; len];
    let mut chain: Vec<usize> = Vec::with_capacity(len);
    let mut merges = Vec::with_capacity(len - 1);
    while clusters.len() > 1 {
        if chain.is_empty() {
            chain.push(clusters[0]);
        }
        let (last, before, height) = loop {
            let last = chain[chain.len() - 1];
            // The one before wins among equals: otherwise the chain could go round in circles.
            let before = chain.len().checked_sub(2).map(|place| chain[place]);
            let start = before.map_or((usize::MAX, f64::INFINITY), |before| {
                (before, distances.values[distances.index(last, before)])
            });
            let (nearest, height) = nearest(&distances, &clusters, last, start);
            if before == Some(nearest) {
                break (last, nearest, height);
            }
            chain.push(nearest);
        };
        chain.truncate(chain.len() - 2);
        let (gone, kept) = (last.min(before), last.max(before));
        merges.push(Merge { a: gone, b: kept, height });
        clusters.retain(|&cluster| cluster != gone);
        for &other in clusters.iter().filter(|&&other| other != kept) {
            let from_gone = distances.values[distances.index(other, gone)];
            let place = distances.index(other, kept);
            distances.values[place] = merged(
                (from_gone, sizes[gone]),
                (distances.values[place], sizes[kept]),
                height,
                sizes[other],
            );
        }
        sizes[kept] += sizes[gone];
    }
    merges
}

/// The nearest cluster to `of`: the first of those, unless it is no nearer than what is known.
fn nearest(
    distances: &Distances,
    clusters: &[usize],
    of: usize,
    mut best: (usize, f64),
) -> (usize, f64) {
    for &other in clusters {
        if other != of {
            let distance = distances.values[distances.index(of, other)];
            if distance < best.1 {
                best = (other, distance);
            }
        }
    }
    best
}

/// Ward's update (Lance and Williams): the distance of a cluster of `size` to the union of two, of
/// which the distances to it, the sizes, and the distance to each other are known.
fn merged(a: (f64, f64), b: (f64, f64), apart: f64, size: f64) -> f64 {
    let share = 1.0 / (a.1 + b.1 + size);
    ((size + a.1) * share * a.0 * a.0 + (size + b.1) * share * b.0 * b.0
        - size * share * apart * apart)
        .sqrt()
}
