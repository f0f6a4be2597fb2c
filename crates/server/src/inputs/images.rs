//! Images as text: data URIs, or base64 alone.

use data_encoding::BASE64;
use embedkit::{ImageInput, Input};

use crate::failure::{Failure, FailureKind};

/// The image of a data URI such as `data:image/png;base64,…`, or of base64.
///
/// Nothing is decoded above the limit on bytes.
pub(crate) fn image(text: &str, most_bytes: usize) -> Result<Input, Failure> {
    let invalid = |message: &str| Failure::invalid("image", message);
    let encoded = if begins(text, "data:") {
        let (kind, encoded) =
            text.split_once(',').ok_or_else(|| invalid("a data URI has no comma"))?;
        if !kind.ends_with(";base64") {
            return Err(invalid("a data URI is not of base64"));
        }
        encoded
    } else {
        text
    };
    let encoded = encoded.trim_ascii();
    if encoded.len() / 4 * 3 > most_bytes.saturating_add(2) {
        let message = format!("an image is larger than {most_bytes} bytes");
        return Err(Failure::new(FailureKind::TooLarge, message).param("image"));
    }
    let bytes = BASE64.decode(encoded.as_bytes());
    let bytes = bytes.map_err(|error| invalid(&format!("an image is no base64: {error}")))?;
    Ok(Input::image(ImageInput::Bytes(bytes)))
}

/// True for the address of an image.
pub(crate) fn is_address(text: &str) -> bool {
    begins(text, "http://") || begins(text, "https://")
}

/// True if the text begins so, in any case.
fn begins(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_data_uri_or_base64() {
        let expected = Input::image(ImageInput::Bytes(b"image".to_vec()));
        for text in ["data:image/png;base64,aW1hZ2U=", "DATA:;base64,aW1hZ2U=", "aW1hZ2U="] {
            assert_eq!(image(text, 5).unwrap(), expected, "{text}");
        }
        for (text, reason) in [
            ("data:image/png", "no comma"),
            ("data:image/png,abc", "not of base64"),
            ("data:image/png;base64,a", "no base64"),
            ("a cat", "no base64"),
        ] {
            let failure = image(text, 5).unwrap_err();
            assert!(failure.message.contains(reason), "{text}: {}", failure.message);
        }
    }

    #[test]
    fn an_address_begins_with_its_scheme() {
        assert!(is_address("https://example.com/a.png") && is_address("HTTP://example.com/"));
        assert!(!is_address("data:image/png;base64,aW1hZ2U=") && !is_address("ftp://a"));
    }

    #[test]
    fn a_large_image_is_refused_before_it_is_decoded() {
        let failure = image(&"!".repeat(1000), 100).unwrap_err();
        assert_eq!(failure.kind, FailureKind::TooLarge);
        assert_eq!(image(&"!".repeat(100), 100).unwrap_err().kind, FailureKind::Invalid);
    }
}
