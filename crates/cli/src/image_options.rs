//! `--option` of models that take images: how files are decoded.

use embedkit::image::{DecodeOptions, Gray16, Jpeg, Orientation, Transparency};

use crate::report::{CliError, usage};

/// Takes an option over.
///
/// # Errors
/// A usage error for an option that there is not, or a value that it cannot have.
pub(crate) fn set(
    id: &str,
    key: &str,
    value: &str,
    options: &mut DecodeOptions,
) -> Result<(), CliError> {
    let valid = match key {
        "orientation" => {
            let known = [("ignore", Orientation::Ignore), ("apply", Orientation::Apply)];
            if replaced(&mut options.orientation, named(&known, value)) {
                return Ok(());
            }
            "ignore or apply"
        }
        "transparency" => {
            let named = named(&[("drop", Transparency::Drop)], value);
            if replaced(&mut options.transparency, named.or_else(|| composite(value))) {
                return Ok(());
            }
            "drop, or a colour to lay the image over, such as #ffffff"
        }
        "gray16" => {
            let known = [("clip", Gray16::Clip), ("high-byte", Gray16::HighByte)];
            if replaced(&mut options.gray16, named(&known, value)) {
                return Ok(());
            }
            "clip or high-byte"
        }
        "jpeg" => {
            let known = [("full", Jpeg::Full), ("scaled", Jpeg::Scaled)];
            if replaced(&mut options.jpeg, named(&known, value)) {
                return Ok(());
            }
            "full or scaled"
        }
        _ => {
            return Err(usage(format!("{id} has no option {key:?}"))
                .hint("valid are orientation, transparency, gray16 and jpeg"));
        }
    };
    Err(usage(format!("the option {key} cannot be {value}")).hint(format!("valid is {valid}")))
}

fn named<T: Copy>(known: &[(&str, T)], value: &str) -> Option<T> {
    known.iter().find(|(name, _)| *name == value).map(|(_, known)| *known)
}

/// Puts a new value in place, and says whether there is one.
fn replaced<T>(place: &mut T, value: Option<T>) -> bool {
    value.map(|value| *place = value).is_some()
}

/// A background, written as `#rrggbb`.
fn composite(text: &str) -> Option<Transparency> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some(Transparency::Composite([red, green, blue]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_has_its_values() {
        let mut options = DecodeOptions::default();
        for (key, value) in [
            ("orientation", "apply"),
            ("transparency", "#0a14FF"),
            ("gray16", "high-byte"),
            ("jpeg", "scaled"),
        ] {
            set("m", key, value, &mut options).unwrap();
        }
        assert_eq!(options.orientation, Orientation::Apply);
        assert_eq!(options.transparency, Transparency::Composite([10, 20, 255]));
        assert_eq!(options.gray16, Gray16::HighByte);
        assert_eq!(options.jpeg, Jpeg::Scaled);
        for (key, value) in [
            ("orientation", "ignore"),
            ("transparency", "drop"),
            ("gray16", "clip"),
            ("jpeg", "full"),
        ] {
            set("m", key, value, &mut options).unwrap();
        }
        assert_eq!(options, DecodeOptions::default());
        for (key, value) in [
            ("orientation", "Apply"),
            ("transparency", "#fff"),
            ("transparency", "ffffff"),
            ("transparency", "#+12345"),
            ("gray16", ""),
            ("grey16", "clip"),
            ("jpeg", "half"),
        ] {
            assert!(set("m", key, value, &mut options).is_err(), "{key}={value}");
        }
    }
}
