//! How much memory one text of five megabytes takes: all that this process allocates beside ONNX
//! Runtime. What the tokenizers library keeps for each byte of a text is by far the most of it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]
#![cfg(any(feature = "bm25", feature = "splade"))]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use embedkit_sparse::SparseTextEmbedding;
use embedkit_types::{LoadOptions, TaskKind};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Tests of one process would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

struct Counting;

#[expect(unsafe_code, reason = "an allocator that counts and leaves the work to the system's")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The largest number of bytes in use while `work` ran, beyond those before.
fn peak(work: impl FnOnce()) -> usize {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    work();
    PEAK.load(Relaxed) - before
}

const LENGTH: usize = 5_000_000;

/// Five megabytes of prose: some hundred thousand words, of which one in ten is new.
fn prose() -> String {
    let mut text = String::with_capacity(LENGTH + 64);
    for i in 0u32.. {
        if text.len() >= LENGTH {
            break;
        }
        text.push_str("the boats left the harbour early, and nobody saw number ");
        text.push_str(&i.to_string());
        text.push_str(". ");
    }
    text
}

#[cfg(feature = "bm25")]
#[test]
fn bm25_takes_a_few_times_the_text() {
    use embedkit_core::registry;
    use embedkit_sparse::SparseOptions;

    let _alone = ALONE.lock().unwrap();
    let spec = registry::find_task("Qdrant/bm25", TaskKind::Sparse).unwrap();
    let model = SparseTextEmbedding::without_files(
        spec,
        &LoadOptions::default(),
        &SparseOptions::default(),
    )
    .unwrap();
    let text = prose();
    let used = peak(|| {
        let vector = model.embed([&text]).next().unwrap().unwrap();
        assert!(vector.indices().len() > 50_000);
    });
    println!("bm25: {:.1} times the text", used as f64 / LENGTH as f64);
    assert!(used < 8 * LENGTH, "{used} bytes");
}

#[cfg(feature = "splade")]
#[test]
fn splade_takes_a_bounded_multiple_of_the_text() {
    use embedkit_testkit::{load_options, runtime_library, sparse_case};
    use embedkit_types::Role;

    let _alone = ALONE.lock().unwrap();
    let Some(library) = runtime_library() else { return };
    let case = sparse_case("splade");
    let load = LoadOptions { onnxruntime: Some(library), ..load_options() };
    let model = SparseTextEmbedding::from_files(&case.spec, &case.files(), &load).unwrap();
    let text = prose();
    let used = peak(|| {
        let embedded = model.embed_detailed(Role::Raw, [&text]).next().unwrap().unwrap();
        assert!(embedded.truncated);
    });
    println!("splade: {:.1} times the text", used as f64 / LENGTH as f64);
    assert!(used < 100 * LENGTH, "{used} bytes");
}
