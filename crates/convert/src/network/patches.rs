//! First layer of an encoder of images.

use super::Network;
use crate::Error;
use crate::encoder::Patches;
use crate::graph::{Attribute, BATCH, Dim, FLOAT, Value};

impl Network<'_> {
    /// Projected patches behind the image's own token, with positions.
    pub(super) fn embed_patches(&mut self, patches: &Patches) -> Result<Value, Error> {
        let &Patches { channels, patch, image, width, any_size, .. } = patches;
        let side = |name| if any_size { Dim::Named(name) } else { Dim::Fixed(image) };
        let shape = vec![BATCH, Dim::Fixed(channels), side("height"), side("width")];
        let pixels = self.graph.input_of("pixel_values", FLOAT, shape);
        let pixels = self.own(&pixels);
        let name = &patches.projection;
        let matrix = self.weight(&[format!("{name}.weight")], &[width, channels, patch, patch])?;
        let mut inputs = vec![pixels.as_str(), &matrix];
        let bias = if patches.bias {
            Some(self.weight(&[format!("{name}.bias")], &[width])?)
        } else {
            None
        };
        inputs.extend(bias.as_deref());
        let size = [patch as i64; 2];
        let attributes =
            [("kernel_shape", Attribute::Ints(&size)), ("strides", Attribute::Ints(&size))];
        let grid = self.graph.add_with("Conv", &inputs, &attributes);
        let x = self.flatten_grid(&grid);
        let x = self.behind_class(&x, patches)?;
        let positions = self.patch_positions(&grid, patches)?;
        let x = self.graph.add("Add", &[&x, &positions]);
        self.optional_norm(&x, patches.norm.as_ref())
    }

    /// `[batch_size, width, rows, columns]` to `[batch_size, rows * columns, width]`.
    fn flatten_grid(&mut self, grid: &str) -> Value {
        let shape = self.graph.ints(&[0, 0, -1]);
        let x = self.graph.add("Reshape", &[grid, &shape]);
        self.transpose(&x, &[0, 2, 1])
    }

    /// The image's own token, if there is one, before those of the patches.
    fn behind_class(&mut self, x: &str, patches: &Patches) -> Result<Value, Error> {
        let Some((name, shape)) = &patches.class else { return Ok(x.to_owned()) };
        let class = self.weight(std::slice::from_ref(name), shape)?;
        let graph = &mut self.graph;
        let size = graph.ints(&[1, patches.width as i64]);
        let last = graph.ints(&[1, 1, -1]);
        let class = graph.add("Reshape", &[&class, &last]);
        let batch = [("start", Attribute::Int(0)), ("end", Attribute::Int(1))];
        let batch = graph.add_with("Shape", &[x], &batch);
        let shape = graph.add_with("Concat", &[&batch, &size], &[("axis", Attribute::Int(0))]);
        let class = graph.add("Expand", &[&class, &shape]);
        Ok(graph.add_with("Concat", &[&class, x], &[("axis", Attribute::Int(1))]))
    }

    /// Positions of the image's token and of the patches, in the checkpoint's grid or, for another
    /// size of the image, between its places.
    fn patch_positions(&mut self, grid: &str, patches: &Patches) -> Result<Value, Error> {
        let (name, shape) = &patches.positions;
        let positions = self.weight(std::slice::from_ref(name), shape)?;
        if !patches.any_size {
            return Ok(positions);
        }
        let (side, width) = ((patches.image / patches.patch) as i64, patches.width as i64);
        // Resampling in f16 would shift the positions.
        let positions = self.full(&positions);
        let graph = &mut self.graph;
        let sizes = graph.ints(&[1, side * side]);
        let middle = [("axis", Attribute::Int(1))];
        let [class, places]: [Value; 2] = graph.add_many("Split", &[&positions, &sizes], &middle);
        let square = graph.ints(&[1, side, side, width]);
        let places = graph.add("Reshape", &[&places, &square]);
        let places = self.transpose(&places, &[0, 3, 1, 2]);
        let graph = &mut self.graph;
        let rows = [("start", Attribute::Int(2)), ("end", Attribute::Int(4))];
        let rows = graph.add_with("Shape", &[grid], &rows);
        let start = graph.ints(&[1, width]);
        let sizes = graph.add_with("Concat", &[&start, &rows], &[("axis", Attribute::Int(0))]);
        let cubic = [
            ("mode", Attribute::Text("cubic")),
            ("coordinate_transformation_mode", Attribute::Text("half_pixel")),
            ("cubic_coeff_a", Attribute::Float(-0.75)),
        ];
        let places = graph.add_with("Resize", &[&places, "", "", &sizes], &cubic);
        let places = self.flatten_grid(&places);
        let positions = self.graph.add_with("Concat", &[&class, &places], &middle);
        Ok(self.own(&positions))
    }
}
