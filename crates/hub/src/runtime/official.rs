//! Hashes of the official builds of the ONNX Runtime library.

/// SHA-256 of the library in the official package: version, system, processor, hash. The packages for
/// different versions of Python hold the same library.
const KNOWN: [(&str, &str, &str, &str); 8] = [
    (
        "1.31.1",
        "linux",
        "x86_64",
        "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    ),
    (
        "1.31.1",
        "linux",
        "aarch64",
        "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    ),
    (
        "1.31.1",
        "macos",
        "aarch64",
        "07fde7652b628c2c744155cf49020f368ddf5e1e13fc17817d1350514446bef8",
    ),
    (
        "1.31.1",
        "windows",
        "x86_64",
        "68d0d5f502be4509e2a16f932627a95137d748b2fae519027f80125c0b1f550b",
    ),
    (
        "1.23.2",
        "linux",
        "x86_64",
        "718c3fb0785d5ea06061b92c32ce4ad35be1bd4c71ae6192efe06f1ab21f0f8a",
    ),
    (
        "1.23.2",
        "linux",
        "aarch64",
        "ab8c4363e06ac80b3d1279ea55ebea44e906c5b131ba783ff684a067540c0e94",
    ),
    (
        "1.23.2",
        "macos",
        "aarch64",
        "6c895a1e485b54bdae3cf88e55ab48650a695bf369aab98f21114ace8c35e1fa",
    ),
    (
        "1.23.2",
        "windows",
        "x86_64",
        "c23ac24e40ef4f94201d2b9265482ec211a28dfbf2c480273de35db97a38adbb",
    ),
];

/// The hash of an official build for this platform.
pub(super) fn known(version: &str) -> Option<&'static str> {
    let here = (std::env::consts::OS, std::env::consts::ARCH);
    KNOWN.iter().find(|row| row.0 == version && (row.1, row.2) == here).map(|row| row.3)
}

/// The version of the official build with this hash, for any platform.
pub(super) fn version_of(sha256: &str) -> Option<&'static str> {
    KNOWN.iter().find(|row| row.3 == sha256).map(|row| row.0)
}
