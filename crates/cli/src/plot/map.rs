//! Embeddings that are collected, and the map that they make.

use anyhow::{Result, ensure};

use super::{
    groups::Groups,
    pca::{Projection, project},
    point::{MOST_DIM, Point},
};
use crate::{
    report::{Report, failure},
    sample::Sample,
};

/// Most numbers that are kept: one GiB.
const MOST_NUMBERS: usize = 1 << 28;

/// The embeddings of a map so far: all, or from a number on a sample of them.
pub(crate) struct Points {
    dim: Option<usize>,
    most: usize,
    sample: Sample<Point>,
}

impl Points {
    /// None so far, and at most `most` in the end.
    pub(crate) fn new(most: usize) -> Self {
        Self { dim: None, most, sample: Sample::new(most) }
    }

    /// True if there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.dim.is_none()
    }

    /// Another one.
    ///
    /// # Errors
    /// It is of another dimension than those before it, of none, or not of finite numbers.
    pub(crate) fn push(&mut self, point: Point) -> Result<()> {
        let (index, dim) = (point.index, point.values.len());
        ensure!(
            (1..=MOST_DIM).contains(&dim),
            failure(format!("embedding {index}: expected 1 to {MOST_DIM} components, got {dim}"))
        );
        if self.dim.is_none() {
            self.sample = Sample::new(self.most.min(MOST_NUMBERS / dim));
        }
        let expected = *self.dim.get_or_insert(dim);
        ensure!(
            dim == expected,
            failure(format!("embedding {index}: expected {expected} components, got {dim}"))
        );
        if let Some(at) = point.values.iter().position(|value| !value.is_finite()) {
            let what = format!("component {at} is {}", point.values[at]);
            return Err(failure(format!("embedding {index} is not finite: {what}")).into());
        }
        self.sample.push(point);
        Ok(())
    }

    /// The map of them; says where it does not show everything.
    ///
    /// # Errors
    /// There are none.
    pub(crate) fn into_map(self, name: &str, report: &Report) -> Result<Map> {
        let notice = self.sample.notice("embeddings", "drawn");
        let Some(dim) = self.dim else {
            return Err(failure(format!("{name} has no embeddings to draw")).into());
        };
        if let Some(notice) = notice {
            report.warn(&format!("{notice}; --max-points sets another limit"));
        }
        let points = self.sample.into_items();
        let map = Map::new(name, dim, points);
        if map.projection.explained == [0.0; 2] && map.points.len() > 1 {
            report.warn("all embeddings are equal: every point is at the same place");
        }
        if map.groups.merged > 0 {
            report.warn(&format!(
                "{} of the categories share one colour, as others are more frequent",
                map.groups.merged
            ));
        }
        Ok(map)
    }
}

/// A map that can be drawn.
pub(crate) struct Map {
    pub(super) title: String,
    pub(super) dim: usize,
    pub(super) points: Vec<Point>,
    pub(super) projection: Projection,
    pub(super) groups: Groups,
}

impl Map {
    pub(super) fn new(name: &str, dim: usize, points: Vec<Point>) -> Self {
        let rows: Vec<_> = points.iter().map(|point| point.values.as_slice()).collect();
        let projection = project(&rows);
        let groups = Groups::new(points.iter().map(|point| point.category.as_deref()));
        Self { title: name.to_owned(), dim, points, projection, groups }
    }
}
