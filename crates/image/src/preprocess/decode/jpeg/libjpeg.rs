//! A safe interface to libjpeg's decoder.
//!
//! libjpeg reports an error by a callback that must not return. Our callback unwinds through the C
//! frames, which are built for it, up to [`Reader::guarded`]. Afterwards only destruction is allowed,
//! so fallible methods consume the reader.
#![expect(unsafe_code, reason = "libjpeg is C")]

use std::{
    any::Any,
    ffi::CStr,
    marker::PhantomData,
    panic::{self, AssertUnwindSafe},
    ptr::NonNull,
};

use mozjpeg_sys as c;

/// Maximum scans of a progressive file. Each is a pass over the whole image, even with few bytes;
/// encoders write about ten.
const MOST_SCANS: i32 = 500;

/// Colour space of a stream's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::preprocess::decode) enum Space {
    Gray,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
    /// Unknown, hence not converted.
    Unknown,
}

/// Treatment of data that end before the image does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::preprocess::decode) enum AtEnd {
    /// Returns an error, as Pillow does.
    Fail,
    /// Leaves missing rows grey, as libtiff does.
    Finish,
}

/// Upsampling of chroma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::preprocess::decode) enum Upsampling {
    /// Interpolation between neighbours, libjpeg's default.
    Smooth,
    /// Repetition.
    Plain,
}

/// Reasons why a stream cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::preprocess::decode) enum Failure {
    /// The decoder does not support a feature of the standard.
    Unsupported(String),
    /// The stream contradicts itself or ends too early.
    Damaged(String),
    /// The allowed memory is not enough.
    Memory,
}

/// Contents of the frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::preprocess::decode) struct Header {
    pub(in crate::preprocess::decode) width: u32,
    pub(in crate::preprocess::decode) height: u32,
    pub(in crate::preprocess::decode) components: u8,
    /// Colour space by markers and component ids.
    pub(in crate::preprocess::decode) space: Space,
}

/// A decoder of streams that live for `'a`.
pub(in crate::preprocess::decode) struct Reader<'a> {
    state: NonNull<State>,
    data: PhantomData<&'a [u8]>,
}

/// State that libjpeg points into, at a fixed address. The source is the first field: the callbacks
/// cast it to `State`.
/// from it to `State`.
#[repr(C)]
struct State {
    source: c::jpeg_source_mgr,
    decoder: c::jpeg_decompress_struct,
    errors: c::jpeg_error_mgr,
    progress: c::jpeg_progress_mgr,
    at_end: AtEnd,
}

/// Panic payload of a libjpeg error.
struct Exit;

/// Panic payload of a stream with too many scans.
struct TooManyScans;

impl<'a> Reader<'a> {
    /// Creates a decoder whose coefficients may take `max_memory` bytes.
    pub(in crate::preprocess::decode) fn new(
        max_memory: u64,
        at_end: AtEnd,
    ) -> Result<Self, Failure> {
        // SAFETY: all four are C structures of numbers, pointers and optional functions, for which zero
        // is valid, and `AtEnd` is set before it is read.
        let state = Box::new(unsafe {
            State {
                source: std::mem::zeroed(),
                decoder: std::mem::zeroed(),
                errors: std::mem::zeroed(),
                progress: std::mem::zeroed(),
                at_end,
            }
        });
        let reader = Self { state: NonNull::from(Box::leak(state)), data: PhantomData };
        reader.guarded(|state| {
            // SAFETY: `state` is exclusively ours during the call, at a fixed address.
            unsafe {
                let state = state.as_ptr();
                (*state).decoder.common.err = c::jpeg_std_error(&mut (*state).errors);
                (*state).errors.error_exit = Some(error_exit);
                (*state).errors.output_message = Some(output_message);
                c::jpeg_create_decompress(&raw mut (*state).decoder);
                let memory = (*state).decoder.common.mem;
                // Zero would mean no limit.
                (*memory).max_memory_to_use =
                    max_memory.clamp(1, 1 << 62).try_into().unwrap_or(c::c_long::MAX);
                (*state).progress.progress_monitor = Some(progress_monitor);
                (*state).decoder.common.progress = &raw mut (*state).progress;
                (*state).source.init_source = Some(no_op);
                (*state).source.fill_input_buffer = Some(fill_input_buffer);
                (*state).source.skip_input_data = Some(skip_input_data);
                (*state).source.resync_to_restart = Some(c::jpeg_resync_to_restart);
                (*state).source.term_source = Some(no_op);
                (*state).decoder.src = &raw mut (*state).source;
            }
        })?;
        Ok(reader)
    }

    /// Reads a stream of tables for the streams that follow.
    pub(in crate::preprocess::decode) fn read_tables(
        self,
        tables: &'a [u8],
    ) -> Result<Self, Failure> {
        self.feed(tables);
        let found = self.guarded(|state| {
            // SAFETY: the decoder was created, and its source has `tables`, which live for `'a`.
            unsafe { c::jpeg_read_header(&mut (*state.as_ptr()).decoder, 0) }
        })?;
        // 2: tables only.
        if found == 2 {
            Ok(self)
        } else {
            Err(Failure::Damaged("the tables do not end".to_owned()))
        }
    }

    /// Reads up to the first scan.
    pub(in crate::preprocess::decode) fn read_header(
        self,
        stream: &'a [u8],
    ) -> Result<(Self, Header), Failure> {
        self.feed(stream);
        let (found, header) = self.guarded(|state| {
            // SAFETY: the decoder was created, and its source has `stream`, which lives for `'a`.
            // Tables without an image may come first in the same stream.
            unsafe {
                let decoder = &mut (*state.as_ptr()).decoder;
                let mut found = c::jpeg_read_header(decoder, 0);
                while found == 2 {
                    found = c::jpeg_read_header(decoder, 0);
                }
                let header = Header {
                    width: decoder.image_width,
                    height: decoder.image_height,
                    components: decoder.num_components.try_into().unwrap_or(u8::MAX),
                    space: Space::from_c(decoder.jpeg_color_space),
                };
                (found, header)
            }
        })?;
        // 1: an image. Anything else is a suspension, since the data ended.
        if found == 1 { Ok((self, header)) } else { Err(too_short()) }
    }

    /// Overrides [`Header::space`].
    pub(in crate::preprocess::decode) fn set_space(&mut self, space: Space) {
        // SAFETY: nothing else uses the decoder now.
        unsafe { self.state.as_mut() }.decoder.jpeg_color_space = space.to_c();
    }

    /// Sets the upsampling, between [`Self::read_header`] and [`Self::decode`].
    pub(in crate::preprocess::decode) fn set_upsampling(&mut self, upsampling: Upsampling) {
        // SAFETY: nothing else uses the decoder now.
        let decoder = unsafe { &mut self.state.as_mut().decoder };
        decoder.do_fancy_upsampling = (upsampling == Upsampling::Smooth).into();
    }

    /// Divides both sides by 1, 2, 4 or 8, rounded up, between [`Self::read_header`] and [`Self::decode`].
    pub(in crate::preprocess::decode) fn set_reduction(&mut self, by: u32) {
        // SAFETY: nothing else uses the decoder now.
        let decoder = unsafe { &mut self.state.as_mut().decoder };
        (decoder.scale_num, decoder.scale_denom) = (1, by);
    }

    /// Decodes the image: rows from the top, interleaved samples without gaps.
    pub(in crate::preprocess::decode) fn decode(self, out: Space) -> Result<Vec<u8>, Failure> {
        let rows = self.start(out)?;
        let length = rows.stride.checked_mul(rows.left).ok_or(Failure::Memory)?;
        let mut samples = Vec::new();
        samples.try_reserve_exact(length).map_err(|_| Failure::Memory)?;
        samples.resize(length, 0);
        rows.next(&mut samples)?.finish()?;
        Ok(samples)
    }

    /// Sets the colour space of the result and begins to decode.
    pub(in crate::preprocess::decode) fn start(self, out: Space) -> Result<Rows<'a>, Failure> {
        let complete = self.guarded(|state| {
            // SAFETY: a header was read, or libjpeg reports the wrong order of calls.
            unsafe {
                let decoder = &mut (*state.as_ptr()).decoder;
                decoder.out_color_space = out.to_c();
                c::jpeg_start_decompress(decoder) != 0
            }
        })?;
        if !complete {
            return Err(too_short());
        }
        // SAFETY: the decoder is set up, and nothing else uses it now.
        let decoder = unsafe { &self.state.as_ref().decoder };
        let left = decoder.output_height as usize;
        let components = usize::try_from(decoder.output_components).unwrap_or(0);
        let stride = decoder.output_width as usize * components;
        Ok(Rows { reader: self, stride, left })
    }

    /// Sets `bytes` as the source.
    fn feed(&self, bytes: &'a [u8]) {
        // SAFETY: nothing else uses the source now, and libjpeg reads the bytes only while `'a` lasts.
        let source = unsafe { &mut (*self.state.as_ptr()).source };
        source.next_input_byte = bytes.as_ptr();
        source.bytes_in_buffer = bytes.len();
    }

    /// Calls libjpeg and turns an unwinding error into a failure.
    fn guarded<T>(&self, call: impl FnOnce(NonNull<State>) -> T) -> Result<T, Failure> {
        let state = self.state;
        panic::catch_unwind(AssertUnwindSafe(|| call(state)))
            .map_err(|payload| self.failure(payload))
    }

    fn failure(&self, payload: Box<dyn Any + Send>) -> Failure {
        if payload.is::<TooManyScans>() {
            return Failure::Unsupported(format!("more than {MOST_SCANS} scans"));
        }
        if !payload.is::<Exit>() {
            panic::resume_unwind(payload); // not libjpeg's
        }
        // SAFETY: libjpeg has set code and parameters, and nothing else uses the state now.
        let errors = unsafe { &mut (*self.state.as_ptr()).errors };
        // SAFETY: the table of libjpeg has static strings for all codes up to the last.
        let text = unsafe {
            let code = errors.msg_code.clamp(0, errors.last_jpeg_message) as usize;
            CStr::from_ptr((*errors.jpeg_message_table.add(code)).cast()).to_string_lossy()
        };
        // SAFETY: reading the union of integers and text as integers is always valid.
        let parameters = unsafe { *errors.msg_parm.i() };
        let message = filled_in(&text, &parameters);
        match errors.msg_code {
            c::JERR_NO_BACKING_STORE | c::JERR_OUT_OF_MEMORY => Failure::Memory,
            c::JERR_ARITH_NOTIMPL
            | c::JERR_BAD_PRECISION
            | c::JERR_CCIR601_NOTIMPL
            | c::JERR_COMPONENT_COUNT
            | c::JERR_CONVERSION_NOTIMPL
            | c::JERR_FRACT_SAMPLE_NOTIMPL
            | c::JERR_NOTIMPL
            | c::JERR_SOF_UNSUPPORTED => Failure::Unsupported(message),
            _ => Failure::Damaged(message),
        }
    }
}

/// Rows that are not decoded yet. As after an error only destruction is allowed, methods consume it.
pub(in crate::preprocess::decode) struct Rows<'a> {
    reader: Reader<'a>,
    stride: usize,
    left: usize,
}

impl Rows<'_> {
    /// Samples of a row.
    pub(in crate::preprocess::decode) fn stride(&self) -> usize {
        self.stride
    }

    /// Number of rows.
    pub(in crate::preprocess::decode) fn left(&self) -> usize {
        self.left
    }

    /// Decodes the next rows, as many as there is room for.
    pub(in crate::preprocess::decode) fn next(self, rows: &mut [u8]) -> Result<Self, Failure> {
        let count = rows.len() / self.stride.max(1);
        let done = self.reader.guarded(|state| {
            for row in rows.chunks_exact_mut(self.stride.max(1)) {
                let mut row = row.as_mut_ptr();
                // SAFETY: the row has room for `output_width` pixels of `output_components` samples,
                // and libjpeg writes at most one row into it.
                let read = unsafe {
                    c::jpeg_read_scanlines(&mut (*state.as_ptr()).decoder, &raw mut row, 1)
                };
                if read != 1 {
                    return false;
                }
            }
            true
        })?;
        if !done {
            return Err(too_short());
        }
        Ok(Self { left: self.left.saturating_sub(count), ..self })
    }

    /// Checks what follows the last row for errors. Pillow tolerates a missing end.
    pub(in crate::preprocess::decode) fn finish(self) -> Result<(), Failure> {
        self.reader.guarded(|state| {
            // SAFETY: libjpeg reports the wrong order of calls, such as this one before the last row.
            unsafe { c::jpeg_finish_decompress(&mut (*state.as_ptr()).decoder) };
        })
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // Destruction reports no errors; if it did, leaking would be the safest choice.
        let destroyed = self.guarded(|state| {
            // SAFETY: destruction is allowed in every state, also after an error and before creation,
            // when there is no memory manager.
            unsafe { c::jpeg_destroy_decompress(&mut (*state.as_ptr()).decoder) }
        });
        if destroyed.is_ok() {
            // SAFETY: the pointer came from a box, and libjpeg has released everything.
            drop(unsafe { Box::from_raw(self.state.as_ptr()) });
        }
    }
}

impl Space {
    fn from_c(space: c::J_COLOR_SPACE) -> Self {
        match space {
            c::JCS_GRAYSCALE => Self::Gray,
            c::JCS_RGB => Self::Rgb,
            c::JCS_YCbCr => Self::YCbCr,
            c::JCS_CMYK => Self::Cmyk,
            c::JCS_YCCK => Self::Ycck,
            _ => Self::Unknown,
        }
    }

    fn to_c(self) -> c::J_COLOR_SPACE {
        match self {
            Self::Gray => c::JCS_GRAYSCALE,
            Self::Rgb => c::JCS_RGB,
            Self::YCbCr => c::JCS_YCbCr,
            Self::Cmyk => c::JCS_CMYK,
            Self::Ycck => c::JCS_YCCK,
            Self::Unknown => c::JCS_UNKNOWN,
        }
    }
}

fn too_short() -> Failure {
    Failure::Damaged("the file ends before the image".to_owned())
}

/// Formats a message of libjpeg with its numbers. Its few messages with text keep `%s`.
fn filled_in(message: &str, numbers: &[i32]) -> String {
    let mut parts = message.split('%');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for (part, number) in parts.zip(numbers) {
        let end = part.find(|letter: char| letter.is_ascii_alphabetic() && letter != 'l');
        let Some(end) = end else { continue };
        match &part[end..=end] {
            "x" | "X" => filled.push_str(&format!("{number:02x}")),
            "s" => filled.push('?'),
            _ => filled.push_str(&number.to_string()),
        }
        filled.push_str(&part[end + 1..]);
    }
    filled
}

unsafe extern "C-unwind" fn error_exit(_: &mut c::jpeg_common_struct) {
    panic::resume_unwind(Box::new(Exit)) // without the message of a panic
}

/// Discards warnings: Pillow accepts streams whose faults libjpeg can repair.
unsafe extern "C-unwind" fn output_message(_: &mut c::jpeg_common_struct) {}

unsafe extern "C-unwind" fn progress_monitor(common: &mut c::jpeg_common_struct) {
    let decoder = (&raw mut *common).cast::<c::jpeg_decompress_struct>();
    // SAFETY: a decoder starts with the structure that is common to both directions.
    if unsafe { (*decoder).input_scan_number } > MOST_SCANS {
        panic::resume_unwind(Box::new(TooManyScans))
    }
}

unsafe extern "C-unwind" fn no_op(_: &mut c::jpeg_decompress_struct) {}

/// Reports the end of the data, or inserts an end of the image.
unsafe extern "C-unwind" fn fill_input_buffer(
    decoder: &mut c::jpeg_decompress_struct,
) -> c::boolean {
    static END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    // SAFETY: the source is the first field of our state, which outlives the decoder.
    unsafe {
        if (*decoder.src.cast::<State>()).at_end == AtEnd::Fail {
            return 0;
        }
        (*decoder.src).next_input_byte = END_OF_IMAGE.as_ptr();
        (*decoder.src).bytes_in_buffer = END_OF_IMAGE.len();
    }
    1
}

unsafe extern "C-unwind" fn skip_input_data(
    decoder: &mut c::jpeg_decompress_struct,
    bytes: c::c_long,
) {
    // SAFETY: the source is ours, and what it points to has at least as many bytes as it says.
    unsafe {
        let source = &mut *decoder.src;
        let skipped = source.bytes_in_buffer.min(usize::try_from(bytes).unwrap_or(0));
        source.next_input_byte = source.next_input_byte.add(skipped);
        source.bytes_in_buffer -= skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of the test kit with subsampled chroma.
    fn stream() -> Vec<u8> {
        let mut cases = embedkit_testkit::file_cases().into_iter();
        std::fs::read(cases.find(|case| case.name == "420.jpg").unwrap().path).unwrap()
    }

    /// Splits a stream into its tables and the rest.
    fn split(stream: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut tables, mut rest) = (vec![0xff, 0xd8], vec![0xff, 0xd8]);
        let mut at = 2;
        while stream[at + 1] != 0xda {
            let length = usize::from(u16::from_be_bytes([stream[at + 2], stream[at + 3]]));
            let segment = &stream[at..at + 2 + length];
            let is_table = matches!(stream[at + 1], 0xc4 | 0xdb);
            if is_table { &mut tables } else { &mut rest }.extend(segment);
            at += segment.len();
        }
        tables.extend([0xff, 0xd9]);
        rest.extend(&stream[at..]);
        (tables, rest)
    }

    fn decoded(stream: &[u8], at_end: AtEnd, space: Space) -> Result<Vec<u8>, Failure> {
        Reader::new(1 << 20, at_end)?.read_header(stream)?.0.decode(space)
    }

    #[test]
    fn tables_may_come_in_a_stream_of_their_own() {
        let stream = stream();
        let (tables, rest) = split(&stream);
        let reader = Reader::new(1 << 20, AtEnd::Fail).unwrap().read_tables(&tables).unwrap();
        let (mut reader, header) = reader.read_header(&rest).unwrap();
        let expected = Header { width: 45, height: 31, components: 3, space: Space::YCbCr };
        assert_eq!(header, expected);
        let whole = decoded(&stream, AtEnd::Fail, Space::Rgb).unwrap();
        reader.set_space(Space::YCbCr);
        assert_eq!(reader.decode(Space::Rgb).unwrap(), whole);
        // Samples other than luma and chroma stay unchanged.
        let reader = Reader::new(1 << 20, AtEnd::Fail).unwrap().read_tables(&tables).unwrap();
        let mut reader = reader.read_header(&rest).unwrap().0;
        reader.set_space(Space::Rgb);
        let plain = reader.decode(Space::Rgb).unwrap();
        assert_eq!(plain, decoded(&stream, AtEnd::Fail, Space::YCbCr).unwrap());
        assert_ne!(plain, whole);
        let alone = decoded(&rest, AtEnd::Fail, Space::Rgb);
        assert!(matches!(alone, Err(Failure::Damaged(_))), "without its tables: {alone:?}");
        assert!(Reader::new(1 << 20, AtEnd::Fail).unwrap().read_tables(&tables[..40]).is_err());
    }

    #[test]
    fn data_that_end_early_are_an_error_or_leave_the_rest_gray() {
        let stream = stream();
        let part = &stream[..stream.len() - 20];
        assert_eq!(decoded(part, AtEnd::Fail, Space::Rgb), Err(too_short()));
        let whole = decoded(&stream, AtEnd::Fail, Space::Rgb).unwrap();
        let found = decoded(part, AtEnd::Finish, Space::Rgb).unwrap();
        let row = 3 * 45;
        assert_eq!((found.len(), &found[..row]), (whole.len(), &whole[..row]));
        assert_ne!(found, whole);
    }

    #[test]
    fn messages_have_their_numbers() {
        assert_eq!(
            filled_in("Unsupported marker type 0x%02x", &[0xc3, 7]),
            "Unsupported marker type 0xc3"
        );
        assert_eq!(filled_in("Bogus DQT index %d, %ld", &[5, 6]), "Bogus DQT index 5, 6");
        assert_eq!(filled_in("nothing", &[5]), "nothing");
        let failure = decoded(b"\xff\xd8\xff\xdb\0\x05\x09\0\0", AtEnd::Fail, Space::Rgb);
        assert_eq!(failure, Err(Failure::Damaged("Bogus DQT index 9".into())));
    }
}
