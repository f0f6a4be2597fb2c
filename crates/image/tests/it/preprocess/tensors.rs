//! Tensors under every configuration, by their SHA-256.

use embedkit_image::{PreprocessError, Preprocessor, RgbImage};
use embedkit_testkit::{TensorCase, TensorGolden, tensor_cases};

use super::{open, sha256};

#[test]
fn tensors_are_those_of_the_original() {
    let (mut tensors, mut errors) = (0, 0);
    for case in tensor_cases() {
        match &case.golden {
            TensorGolden::Tensor { shape, dtype, sha256 } => {
                let (found_shape, values) = tensor(&case, &open(&case.image)).unwrap();
                assert_eq!(&found_shape, shape, "{}", case.name);
                assert_eq!(&digest(&values, dtype), sha256, "{}", case.name);
                tensors += 1;
            }
            // Accepted here; below is what it means.
            TensorGolden::Exception { .. } if case.config_name == "size_int" => {}
            TensorGolden::Exception { error } => {
                let found = Preprocessor::from_json(case.config.as_bytes()).err();
                let Some(PreprocessError::UnknownPreprocessor { found }) = found else {
                    panic!("{}: {found:?} in place of {error}", case.name)
                };
                assert!(error.contains(&found), "{}: {error}", case.name);
                errors += 1;
            }
        }
    }
    assert_eq!((tensors, errors), (363, 10));
}

#[test]
fn a_size_that_is_a_number_is_the_shortest_edge() {
    let number = r#"{"do_resize": true, "size": 16}"#;
    let edge = r#"{"do_resize": true, "size": {"shortest_edge": 16}}"#;
    let image = RgbImage::new(20, 31, embedkit_testkit::noise(20, 31, 5)).unwrap();
    let [number, edge] =
        [number, edge].map(|json| Preprocessor::from_json(json.as_bytes()).unwrap().apply(&image));
    assert_eq!(number.unwrap(), edge.unwrap());
}

/// Shape and values of the tensor, or of all tiles.
fn tensor(case: &TensorCase, image: &RgbImage) -> Result<(Vec<usize>, Vec<f32>), PreprocessError> {
    let preprocessor = Preprocessor::from_json(case.config.as_bytes())?;
    if preprocessor.makes_tiles() {
        let tiles = preprocessor.tiles(image)?;
        let shape = vec![tiles.count(), 3, tiles.side, tiles.side];
        assert_eq!(preprocessor.output_size(), Some((tiles.side, tiles.side)));
        assert_eq!(tiles.rows == 0, tiles.cols == 0);
        return Ok((shape, tiles.values));
    }
    let pixels = preprocessor.apply(image)?;
    let [_, height, width] = pixels.shape;
    assert_eq!(preprocessor.output_size().unwrap_or((height, width)), (height, width));

    // The same within a batch.
    let mut batch = vec![f32::NAN; pixels.values.len() + 2];
    let end = batch.len() - 1;
    preprocessor.apply_into(image, &mut batch[1..end])?;
    assert_eq!(&batch[1..end], pixels.values);
    Ok((pixels.shape.to_vec(), pixels.values))
}

fn digest(values: &[f32], dtype: &str) -> String {
    let bytes: Vec<u8> = match dtype {
        "float32" => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "uint8" => values.iter().map(|&value| value as u8).collect(),
        other => panic!("no tensor has {other}"),
    };
    sha256(&bytes)
}
