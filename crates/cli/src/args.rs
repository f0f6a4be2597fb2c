//! The command line: what can be typed. What it means is for the commands.

#[cfg(test)]
mod examples;
#[cfg(test)]
mod reference;
#[cfg(feature = "serve")]
mod serve;
mod values;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, builder::PossibleValuesParser};
use embedkit::postprocess::MuveraOptions;
use embedkit_convert::{Head, Precision};
use embedkit_types::{BatchOptions, Device, LoadOptions, Outputs, Prompts, Role, Task, Variant};

#[cfg(test)]
pub(crate) use examples::examples;
#[cfg(feature = "serve")]
pub(crate) use serve::{LogForm, ServeArgs};
pub(crate) use values::PrecisionArg;
use values::{count, device, factor, heads, key_value, muvera, precisions, seconds, some_threads};

/// Embeddings for retrieval on ONNX Runtime: embed, search and rerank from the shell.
#[derive(Debug, Parser)]
#[command(
    name = "embedkit",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  embedkit runtime install                        # get the ONNX Runtime library, once
  embedkit embed \"a text\" \"another\"               # one JSON line for each text
  embedkit search \"a question\" --input texts.txt  # the lines that answer it best
  embedkit embed --model Qdrant/bm25 \"a text\"     # weighted words, without any download
  embedkit models list                            # which models there are
  embedkit doctor                                 # what is missing, and what to do about it

Results go to standard output, everything else to standard error. The status is 0 for success, 1 \
for a failure, 2 for a command line that makes no sense, 130 and 143 after SIGINT and SIGTERM."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Turn texts or images into embeddings
    Embed(EmbedArgs),
    /// Rank texts or images by how well they match a query
    Search(SearchArgs),
    /// Score texts for a query with a reranker
    Rerank(RerankArgs),
    /// Serve models over HTTP, for the clients of other embedding servers
    #[cfg(feature = "serve")]
    Serve(Box<ServeArgs>),
    /// Draw embeddings as a map in two dimensions
    Plot(PlotArgs),
    /// Compare two models on the same inputs: their neighbours, speed and size
    Compare(CompareArgs),
    /// Show and fetch models
    #[command(
        subcommand,
        after_help = "\
Examples:
  embedkit models list --task rerank
  embedkit models search german
  embedkit models show BAAI/bge-small-en-v1.5
  embedkit models pull BAAI/bge-small-en-v1.5"
    )]
    Models(ModelsCommand),
    /// Look after the ONNX Runtime library
    #[command(
        subcommand,
        after_help = "\
Examples:
  embedkit runtime install
  embedkit runtime status"
    )]
    Runtime(RuntimeCommand),
    /// Turn a safetensors checkpoint into an ONNX graph
    Convert(ConvertArgs),
    /// Turn an ONNX graph of f32 into one of eight-bit integers
    Quantize(QuantizeArgs),
    /// Check runtime, devices, cache, models and network, and say what to do
    #[command(after_help = "\
Examples:
  embedkit doctor
  embedkit doctor --offline
  embedkit doctor --json > doctor.json    # for a bug report

A line for each check: ok, warning or problem, what was found, and what to do about it. Nothing is \
fetched or changed. Status 1 with a problem: something keeps embedkit from embedding.")]
    Doctor {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the completion script of a shell
    #[cfg(feature = "completions")]
    #[command(after_help = "\
Examples:
  embedkit completions bash > ~/.local/share/bash-completion/completions/embedkit
  embedkit completions zsh > ~/.zfunc/_embedkit
  embedkit completions fish > ~/.config/fish/completions/embedkit.fish
  embedkit completions powershell >> $PROFILE")]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL", value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the pages of all commands to a folder
    #[cfg(feature = "man")]
    #[command(after_help = "\
Examples:
  embedkit man | man -l -
  embedkit man ~/.local/share/man/man1")]
    Man {
        /// The folder, which is created
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embedkit embed \"hello world\"
  embedkit embed --input texts.txt --output vectors.jsonl
  embedkit embed --as query --prompts model \"who wrote it?\"
  cat texts.jsonl | embedkit embed --input-format jsonl --format npy --output vectors.npy
  embedkit embed --model sentence-transformers/all-MiniLM-L6-v2 --model-dir ./minilm \"offline\"
  embedkit embed --model ./my-model \"a text\"
  embedkit embed --model Qdrant/bm25 --option language=german --input texts.txt
  embedkit embed --model colbert-ir/colbertv2.0 --postprocess muvera:k_sim=4 --input texts.txt
  embedkit embed --model Qdrant/clip-ViT-B-32-vision pictures/

A line of output is {\"index\":0,\"embedding\":[…]}, for sparse models \
{\"index\":0,\"indices\":[…],\"values\":[…]}, for models of many vectors \
{\"index\":0,\"embedding\":[[…],…]}, in the order of the inputs; \"truncated\":true is added where the \
end of a text did not fit into the model. A text that begins with a dash comes after `--`.")]
pub(crate) struct EmbedArgs {
    /// Texts to embed, or paths of images; else --input, else standard input
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,
    /// What the texts are for: FastEmbed's `embed`, `passage_embed` or `query_embed`
    #[arg(long = "as", value_name = "ROLE", value_enum, default_value_t = RoleArg::Raw)]
    pub(crate) role: RoleArg,
    /// Keep only the first N components, scaled to unit length (Matryoshka models)
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) dimensions: Option<usize>,
    /// Models of many vectors: merge those of similar direction, so that one in F is left
    #[arg(long, value_name = "F", value_parser = factor, allow_negative_numbers = true)]
    pub(crate) pool_tokens: Option<f64>,
    /// Models of many vectors: make one of them, `muvera` with its parameters and their defaults
    #[arg(
        long,
        value_name = "muvera[:k_sim=5,dim_proj=16,r_reps=20,seed=42]",
        value_parser = muvera
    )]
    pub(crate) postprocess: Option<MuveraOptions>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embedkit rerank --model Xenova/ms-marco-MiniLM-L-6-v2 --query \"who wrote it?\" --input texts.txt
  embedkit rerank --model BAAI/bge-reranker-base --query \"fruit\" \"an apple\" \"a car\" --top-k 1
  embedkit rerank --model BAAI/bge-reranker-base --input pairs.jsonl --sigmoid

A line of output is {\"index\":0,\"score\":…}, higher is better: in the order of the inputs, or with \
--top-k the best ones, best first. A file of pairs has {\"query\":\"…\",\"text\":\"…\"} a line, and stands \
in the place of --query.")]
pub(crate) struct RerankArgs {
    /// Texts to score; else --input, else standard input
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,
    /// What the texts are scored for; without it each input brings its own as {"query":…,"text":…}
    #[arg(long, value_name = "Q")]
    pub(crate) query: Option<String>,
    /// Only the K best, best first
    #[arg(long, value_name = "K", value_parser = count, allow_negative_numbers = true)]
    pub(crate) top_k: Option<usize>,
    /// Map the scores to 0..1, by 1 / (1 + e^-x)
    #[arg(long)]
    pub(crate) sigmoid: bool,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embedkit search \"how do plants eat?\" --input texts.txt
  embedkit search \"fruit\" \"an apple\" \"a car\" \"a pear\" --top-k 2
  embedkit search \"fruit\" --input texts.jsonl --input-format jsonl | jq -r .text
  embedkit search \"rust on boats\" --model Qdrant/bm25 --input texts.txt
  embedkit search \"a red car\" --model jinaai/jina-clip-v1 --image pictures/
  embedkit search \"who wrote it?\" --input texts.txt --rerank Xenova/ms-marco-MiniLM-L-6-v2

A table on a terminal; elsewhere one line {\"rank\":1,\"index\":…,\"score\":…,\"text\":…} for each hit, \
best first. The score is the cosine of the angle between two vectors; for sparse models the dot \
product, with the inverse document frequency over the inputs where the model asks for it; for models \
of many vectors MaxSim; with --rerank what the reranker says.")]
pub(crate) struct SearchArgs {
    /// What to look for
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,
    /// Texts to look in, or paths of images; else --input, else standard input
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,
    /// How many texts to show
    #[arg(long, value_name = "K", default_value = "10", value_parser = count, allow_negative_numbers = true)]
    pub(crate) top_k: usize,
    /// Score the 100 best (or K, if more) again with this reranker
    #[arg(long, value_name = "ID")]
    pub(crate) rerank: Option<String>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embedkit embed --input texts.txt | embedkit plot - map.svg --labels texts.txt
  embedkit plot vectors.npy map.svg --labels texts.txt --color-by topics.txt
  embedkit plot vectors.jsonl map.svg --labels texts.jsonl --color-by topic

Each embedding is a point, seen from the two directions in which the embeddings vary most (principal \
component analysis). Neighbours on the map need not be neighbours among the embeddings: the axes say \
which share of the variance they hold. Labels that have no room are left out, and every point shows \
its own under the pointer.")]
pub(crate) struct PlotArgs {
    /// Embeddings of one vector each: an array (.npy), or lines of `embedkit embed`; `-` for lines from
    /// standard input
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The picture to write: a file that ends in .svg or .png; `-` for SVG on standard output
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// A label for each embedding: a line each, or in .jsonl the keys "label", "text" or "image" [default:
    /// those keys in IN]
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// A colour for each category: a file with a line for each embedding, or a key of the objects in IN
    /// or in the labels
    #[arg(long, value_name = "FILE|KEY")]
    pub(crate) color_by: Option<String>,
    /// Title of the map [default: the name of IN]
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Draw at most N points, of more than that every second, fourth and so on
    #[arg(long, value_name = "N", value_parser = count, default_value = "5000", allow_negative_numbers = true)]
    pub(crate) max_points: usize,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embedkit compare BAAI/bge-small-en-v1.5 sentence-transformers/all-MiniLM-L6-v2 --input texts.txt
  embedkit compare BAAI/bge-small-en-v1.5 Qdrant/bm25 --input texts.txt --query \"who wrote it?\"
  embedkit compare BAAI/bge-small-en-v1.5 BAAI/bge-small-en-v1.5 --model-dir-b int8 --input texts.txt
  embedkit compare BAAI/bge-small-en-v1.5 ./mine.toml --model-dir-b ./mine --input texts.txt

Each input is a query for the others, unless queries are given. The overlap is the share of the K nearest \
that both models have; Spearman's correlation compares the order of all inputs. The models embed in turns, \
so that other work of the machine meets both. A page on a terminal, elsewhere one JSON object.")]
pub(crate) struct CompareArgs {
    /// A model of `embedkit models list`, or a description of your own that ends in .toml
    #[arg(value_name = "MODEL_A")]
    pub(crate) model_a: String,
    /// The model that it is compared with
    #[arg(value_name = "MODEL_B")]
    pub(crate) model_b: String,
    /// Texts to embed, or paths of images; else --input, else standard input
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<String>,
    /// Look for the neighbours of this text instead of those of each input; can be repeated
    #[arg(long = "query", value_name = "Q")]
    pub(crate) queries: Vec<String>,
    /// Number of neighbours to compare
    #[arg(long, value_name = "K", default_value = "10", value_parser = count, allow_negative_numbers = true)]
    pub(crate) top_k: usize,
    /// Number of queries to show, of those on which the models differ most
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) show: usize,
    /// Compare at most N inputs, of more than that every second, fourth and so on: the time grows with
    /// the square of N
    #[arg(long, value_name = "N", value_parser = count, default_value = "1000", allow_negative_numbers = true)]
    pub(crate) max_inputs: usize,
    /// One JSON object, on a terminal, too
    #[arg(long)]
    pub(crate) json: bool,
    /// Take the files of MODEL_A from this folder; nothing is fetched
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    pub(crate) model_dir_a: Option<PathBuf>,
    /// Take the files of MODEL_B from this folder; nothing is fetched
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    pub(crate) model_dir_b: Option<PathBuf>,
    /// Numbers that the graph of MODEL_A multiplies
    #[arg(long, value_name = "NUMBERS", value_enum, default_value_t = PrecisionArg::F32, help_heading = "Model")]
    pub(crate) precision_a: PrecisionArg,
    /// Numbers that the graph of MODEL_B multiplies
    #[arg(long, value_name = "NUMBERS", value_enum, default_value_t = PrecisionArg::F32, help_heading = "Model")]
    pub(crate) precision_b: PrecisionArg,
    /// The kinds of embedding, of a model that gives several: one or more of dense, sparse and multi, with
    /// commas between them [default: the first that the model gives]
    #[arg(long, value_name = "KINDS")]
    pub(crate) outputs: Option<Outputs>,
    /// The texts put before queries and documents: none, or those that the models' authors state
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = PromptsArg::None, help_heading = "Model")]
    pub(crate) prompts: PromptsArg,
    /// Most tokens of a text, capped by the models' positions [default: as their files say]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true, help_heading = "Model")]
    pub(crate) max_tokens: Option<usize>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
}

/// Which model, and how it treats its inputs: common to all commands that run one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// A model of `embedkit models list`, in any case; a folder such as ./my-model, or a repository of
    /// the hub, whose own files describe it [default: BAAI/bge-small-en-v1.5; rerank has none]
    #[arg(long, value_name = "ID|DIR")]
    pub(crate) model: Option<String>,
    /// Take the model's files from this folder; nothing is fetched
    #[arg(long, value_name = "DIR")]
    pub(crate) model_dir: Option<PathBuf>,
    /// A model of your own, described as in a row of models.toml
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) model_spec: Option<PathBuf>,
    /// The graph, where a folder or repository has several: fp32, fp16, int8, q4, or the end of the
    /// file's name, such as O3; a checkpoint without a graph becomes one of fp32 or fp16 [default: fp32]
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<Variant>,
    /// Numbers that the graph multiplies: those of its file; bf16 with f32 sums, which is faster where the
    /// processor has instructions for it; int8, quantised once, which is faster on any processor and less exact; or
    /// auto-fast, which is bf16 on a processor with AMX and else f32
    #[arg(long, value_name = "NUMBERS", value_enum, default_value_t = PrecisionArg::F32)]
    pub(crate) precision: PrecisionArg,
    /// The kinds of embedding, of a model that gives several: one or more of dense, sparse and multi, with
    /// commas between them [default: the first that the model gives]
    #[arg(long, value_name = "KINDS")]
    pub(crate) outputs: Option<Outputs>,
    /// The texts put before queries and documents: none, or those that the model's authors state
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = PromptsArg::None)]
    pub(crate) prompts: PromptsArg,
    /// Most tokens of a text or pair, capped by the model's positions [default: as its files say]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) max_tokens: Option<usize>,
    /// A setting of the model; can be repeated. BM25: k, b, avg_len, language, disable_stemmer,
    /// token_max_length, stopwords (a file); MiniCOIL: k, b, avg_len; BM42: alpha; Jina v3: task;
    /// images: orientation=ignore|apply, transparency=drop|#rrggbb, gray16=clip|high-byte, jpeg=full|scaled
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) options: Vec<(String, String)>,
}

/// Where inputs come from: common to all commands that read some.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input and output")]
pub(crate) struct InputArgs {
    /// Read the inputs from a file, `-` for standard input; or take the images of a folder
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// A text a line, or an object with "text" or "image" a line [default: by the file's name, else
    /// lines]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) input_format: Option<InputFormat>,
    /// The inputs are paths of images, or folders of images
    #[arg(long)]
    pub(crate) image: bool,
    /// An input that cannot be used: stop there, or write {"index":…,"error":"…"} and go on
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnError::Fail)]
    pub(crate) on_error: OnError,
}

/// Where results go: common to all commands that have some.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input and output")]
pub(crate) struct OutputArgs {
    /// Write the results to a file, `-` for standard output; it appears when it is complete
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The form of the results [default: jsonl]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<Format>,
}

/// How models run: common to all commands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct RunArgs {
    /// Most inputs of a batch [default: 256]
    #[arg(long, global = true, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) batch_size: Option<usize>,
    /// Most tokens of a batch, padding included [default: 256, on a GPU 16384]
    #[arg(long, global = true, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) batch_tokens: Option<usize>,
    /// Threads of each replica [default: one for many inputs, all cores for one]
    #[arg(long, global = true, value_name = "N", value_parser = some_threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// Copies of the model that run side by side [default: one for each GPU, or as many as
    /// the cores have room for with these threads]
    #[arg(long, global = true, value_name = "N", value_parser = some_threads, allow_negative_numbers = true)]
    pub(crate) replicas: Option<usize>,
    /// Most seconds for one run of a graph, such as 30 or 0.5; a slower batch is tried in halves, down
    /// to the inputs that are too slow by themselves [default: none]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// auto, cpu, cuda[:N[,M…]], tensorrt, coreml, directml, openvino or migraphx
    #[arg(long, global = true, value_name = "DEVICE", value_parser = device, default_value = "auto")]
    pub(crate) device: Device,
    /// Use a device other than the CPU without comparing results when a model first runs there
    #[arg(long, global = true)]
    pub(crate) skip_canary: bool,
    /// Where models and the runtime library are kept [default: the user's cache folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Never use the network
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// The ONNX Runtime library to load, before all other places
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// No progress and no warnings
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say what is done and how long it takes; twice for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl RunArgs {
    /// The options that do not depend on the model.
    pub(crate) fn load_options(&self) -> LoadOptions {
        LoadOptions {
            device: self.device.clone(),
            skip_canary: self.skip_canary,
            threads: self.threads,
            replicas: self.replicas,
            timeout: self.timeout,
            cache_dir: self.cache_dir.clone(),
            offline: self.offline,
            onnxruntime: self.onnxruntime.clone(),
            batch: BatchOptions {
                rows: self.batch_size,
                tokens: self.batch_tokens,
                ..BatchOptions::default()
            },
            ..LoadOptions::default()
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// All models, those that are on this machine marked
    #[command(after_help = "\
Examples:
  embedkit models list
  embedkit models list --task image
  embedkit models list --task text-dense --json | jq -r '.[] | select(.cached) | .id'")]
    List {
        /// Only the models of one task
        #[arg(long, value_parser = PossibleValuesParser::new(Task::NAMES))]
        task: Option<String>,
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// The models that fit all words: parts of an id, a language, a task or a licence
    #[command(after_help = "\
Examples:
  embedkit models search multilingual rerank
  embedkit models search german apache
  embedkit models search bge --json | jq -r '.[].id'

Status 1 where no model fits; the hint has the closest names.")]
    Search {
        /// Words in any case; each of them has to fit
        #[arg(value_name = "WORD", required = true)]
        words: Vec<String>,
        /// The same rows as `models list --json`
        #[arg(long)]
        json: bool,
    },
    /// Everything that is known about a model, and the files that say it
    #[command(after_help = "\
Examples:
  embedkit models show intfloat/multilingual-e5-small
  embedkit models show ./my-model
  embedkit models show --model-dir ./my-model")]
    Show {
        /// A name of `models list`, a folder, or a repository of the hub
        #[arg(value_name = "ID|DIR", required_unless_present = "model_dir")]
        id: Option<String>,
        /// A folder with a model that describes itself
        #[arg(long, value_name = "DIR", conflicts_with = "id")]
        model_dir: Option<PathBuf>,
        /// The same rows as `models list --json`
        #[arg(long)]
        json: bool,
    },
    /// Fetch the files of a model and print the folder that holds them
    #[command(after_help = "\
Examples:
  embedkit models pull BAAI/bge-small-en-v1.5
  embedkit models pull BAAI/bge-small-en-v1.5 --cache-dir ./models")]
    Pull {
        /// A name of `models list`, or a repository of the hub
        id: String,
    },
    /// Run a model on a few inputs: compare with known results, alone with in a batch, and with the CPU
    #[command(after_help = "\
Examples:
  embedkit models check BAAI/bge-small-en-v1.5
  embedkit models check ./my-model --device cuda

A line for each comparison: `ok` or `deviates`, and the largest difference with its place. Status 1 where \
one deviates. Known results are those of `canonical.json` in the model's folder: \
{\"texts\":[\"hello world\"],\"vectors\":[[0.1,0.2]],\"tolerance\":0.001}, the first components of raw \
texts' vectors.")]
    Check(CheckArgs),
    /// Hash the cached files of a model again and compare them with what was downloaded
    #[command(after_help = "\
Examples:
  embedkit models verify BAAI/bge-small-en-v1.5
  embedkit models verify BAAI/bge-small-en-v1.5 --json | jq -r '.[].sha256'

A line for each file: its name, `ok`, `mismatch` or `unknown` (nothing is recorded of it), and its \
SHA-256. Status 1 where one does not match.")]
    Verify {
        /// A name of `models list`, or a repository of the hub
        id: String,
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// A name of `models list`, a folder, or a repository of the hub
    #[arg(value_name = "ID|DIR")]
    pub(crate) id: String,
    /// The graph, where a folder or repository has several
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<Variant>,
    /// Numbers that the graph multiplies
    #[arg(long, value_name = "NUMBERS", value_enum, default_value_t = PrecisionArg::F32)]
    pub(crate) precision: PrecisionArg,
    /// One JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuntimeCommand {
    /// Which library is used and where it was found; status 1 without one
    #[command(after_help = "\
Examples:
  embedkit runtime status
  embedkit runtime status --onnxruntime ./libonnxruntime.so")]
    Status,
    /// Put the library into the cache: from the official Python package through pip, or from a file
    #[command(after_help = "\
Examples:
  embedkit runtime install
  embedkit runtime install --gpu
  embedkit runtime install --from ./libonnxruntime.so.1.23.2")]
    Install {
        /// The build for NVIDIA GPUs
        #[arg(long)]
        gpu: bool,
        /// Take it from a library file, a wheel, or a folder with either
        #[arg(long, value_name = "PATH")]
        from: Option<PathBuf>,
    },
    /// Only the path of the library, for scripts; status 1 without one
    #[command(after_help = "\
Examples:
  embedkit runtime path
  ORT_DYLIB_PATH=$(embedkit runtime path) ./my-program")]
    Path,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embedkit convert ./all-MiniLM-L6-v2 ./all-MiniLM-L6-v2/model.onnx
  embedkit convert ./cross-encoder model.onnx --head classifier
  embedkit convert ./reranker model.onnx --head next-token --true-token 9693 --false-token 2152
  embedkit convert ./all-MiniLM-L6-v2 model_fp16.onnx --precision f16")]
pub(crate) struct ConvertArgs {
    /// Folder with config.json and model.safetensors
    pub(crate) dir: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT.onnx")]
    pub(crate) out: PathBuf,
    /// What the graph puts out: the last hidden states, the last layer's attention weights, the
    /// vocabulary's logits, those of a classifier, the vector of a text or an image, or the logits of
    /// the next token
    #[arg(long, value_parser = heads(), default_value = Head::Hidden.name())]
    pub(crate) head: String,
    /// Id of the token whose logit is the first column of --head next-token
    #[arg(long, value_name = "ID", required_if_eq("head", Head::NEXT_TOKEN))]
    pub(crate) true_token: Option<u32>,
    /// Id of the token of the second column, if there is to be one
    #[arg(long, value_name = "ID", requires = "true_token")]
    pub(crate) false_token: Option<u32>,
    /// Leave the input token_type_ids out: all tokens are of type 0
    #[arg(long)]
    pub(crate) no_token_types: bool,
    /// Numbers of the graph: f16 takes half the memory of a GPU, and is slower than f32 on most CPUs
    #[arg(long, value_name = "NUMBERS", value_parser = precisions(), default_value = "f32")]
    pub(crate) precision: Precision,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The new graph gives each text the same vector alone and in any batch. It is smaller and, on most \
processors, faster; its vectors differ a little from those of the original: embed a corpus and its \
queries with the same file.

Examples:
  embedkit quantize model.onnx int8/model.onnx
  embedkit quantize model.onnx int8/model.onnx --timeout 60
  cp tokenizer.json tokenizer_config.json int8
  embedkit embed --model sentence-transformers/all-MiniLM-L6-v2 --model-dir int8 \"a text\"")]
pub(crate) struct QuantizeArgs {
    /// A graph with f32 weights
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    Raw,
    Document,
    Query,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Raw => Self::Raw,
            RoleArg::Document => Self::Document,
            RoleArg::Query => Self::Query,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PromptsArg {
    None,
    Model,
}

impl From<PromptsArg> for Prompts {
    fn from(prompts: PromptsArg) -> Self {
        match prompts {
            PromptsArg::None => Self::None,
            PromptsArg::Model => Self::Model,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    Lines,
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    Fail,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Jsonl,
    Npy,
    Parquet,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn embed(line: &str) -> EmbedArgs {
        match parse(line).unwrap().command {
            Command::Embed(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_come_before_or_after_the_arguments() {
        for line in [
            "embedkit embed --model m --as query --threads 2 a b",
            "embedkit embed a b --model m --as query --threads 2",
            "embedkit embed a --model m b --threads 2 --as query",
            "embedkit --threads 2 embed a --as query b --model m",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.run.threads, Some(2), "{line}");
            let args = embed(line);
            assert_eq!(args.inputs, ["a", "b"], "{line}");
            assert_eq!(args.model.model.as_deref(), Some("m"), "{line}");
            assert_eq!(args.role, RoleArg::Query, "{line}");
        }
    }

    #[test]
    fn settings_are_keys_with_values() {
        let args = embed("embedkit embed a --option task=x=y --option k=");
        assert_eq!(
            args.model.options,
            [("task".into(), "x=y".into()), ("k".into(), String::new())]
        );
        assert!(parse("embedkit embed a --option task").is_err());
        assert!(parse("embedkit embed a --option =x").is_err());
    }

    #[test]
    fn batches_are_bounded_as_asked() {
        let options = parse("embedkit embed a --batch-size 3").unwrap().run.load_options();
        assert_eq!((options.batch.rows, options.batch.tokens), (Some(3), None));
        assert!(parse("embedkit embed a --batch-size 0").is_err());
    }

    #[test]
    fn a_time_limit_is_in_seconds() {
        let limit = |limit: &str| {
            let cli = parse(&format!("embedkit embed a --timeout={limit}"));
            cli.map(|cli| cli.run.load_options().timeout)
        };
        assert_eq!(limit("30").unwrap(), Some(Duration::from_secs(30)));
        assert_eq!(limit("0.5").unwrap(), Some(Duration::from_millis(500)));
        for bad in ["0", "-1", "nan", "inf", "1e300", "1s", ""] {
            assert!(limit(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("embedkit embed a").unwrap().run.load_options().timeout, None);
    }

    #[test]
    fn threads_are_no_more_than_a_machine_can_have() {
        for option in ["--threads", "--replicas"] {
            for (number, good) in [("1", true), ("1024", true), ("0", false), ("1025", false)] {
                let line = format!("embedkit embed a {option} {number}");
                assert_eq!(parse(&line).is_ok(), good, "{line}");
            }
        }
    }
}
