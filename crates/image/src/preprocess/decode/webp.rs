//! Animated WebP, as Pillow reads it.

use std::borrow::Cow;

/// Rewrites the file so that its first frame replaces the canvas.
///
/// The canvas is empty, and Pillow puts the frame on it unchanged. The decoder blends if the file says
/// so, and loses the colours of transparent pixels.
pub(super) fn unblended(file: &[u8]) -> Cow<'_, [u8]> {
    /// Frame flag: do not blend.
    const REPLACES: u8 = 0b10;
    let mut at = 12; // behind the file's header
    while let Some(&[id @ .., s0, s1, s2, s3]) =
        file.get(at..).and_then(|rest| rest.first_chunk::<8>())
    {
        if id == *b"ANMF" {
            let flags = at + 8 + 15;
            return match file.get(flags) {
                Some(found) if found & REPLACES == 0 => {
                    let mut file = file.to_vec();
                    file[flags] |= REPLACES;
                    Cow::Owned(file)
                }
                _ => Cow::Borrowed(file),
            };
        }
        let size = u32::from_le_bytes([s0, s1, s2, s3]) as usize;
        at = at.saturating_add(8).saturating_add(size.saturating_add(size % 2));
    }
    Cow::Borrowed(file)
}
