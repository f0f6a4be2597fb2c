//! Options of `embedkit serve`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use embedkit_server::{ImageHost, Listen, ListenError};
use embedkit_types::{Outputs, Variant};

use super::{
    PrecisionArg, PromptsArg,
    values::{count, keep_alive, key_value, seconds},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embedkit serve
  embedkit serve --model BAAI/bge-small-en-v1.5 --model Qdrant/bm25 --listen 127.0.0.1:8080
  embedkit serve --model ./my-model --alias text-embedding-3-small=./my-model
  embedkit serve --listen unix:/run/embedkit.sock --model Xenova/ms-marco-MiniLM-L-6-v2
  EMBEDKIT_API_KEY=secret embedkit serve --listen 0.0.0.0:3000

Clients of Text Embeddings Inference, OpenAI, Cohere, Jina, vLLM, Ollama and Qdrant use it unchanged; \
http://127.0.0.1:3000/ is a page that tries the models. SIGINT and SIGTERM end it once the requests in \
progress are answered.")]
pub(crate) struct ServeArgs {
    /// A model: a name of `embedkit models list`, a folder, or a repository; can be repeated. A request that
    /// names none gets the first that fits [default: BAAI/bge-small-en-v1.5]
    #[arg(long = "model", value_name = "ID|DIR")]
    pub(crate) models: Vec<String>,
    /// Take the files of the only model from this folder; nothing is fetched
    #[arg(long, value_name = "DIR")]
    pub(crate) model_dir: Option<PathBuf>,
    /// Another name of a model for clients; can be repeated
    #[arg(long = "alias", value_name = "NAME=MODEL", value_parser = key_value)]
    pub(crate) aliases: Vec<(String, String)>,
    /// The graphs, where a folder or repository has several
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<Variant>,
    /// Numbers that the graphs multiply: those of their files, bf16 with f32 sums, int8, or auto-fast, which is bf16 on a
    /// processor with AMX and else f32
    #[arg(long, value_name = "NUMBERS", value_enum, default_value_t = PrecisionArg::F32)]
    pub(crate) precision: PrecisionArg,
    /// The kinds of embedding, of models that give several: one or more of dense, sparse and multi, with commas
    /// between them [default: the first that a model gives]
    #[arg(long, value_name = "KINDS")]
    pub(crate) outputs: Option<Outputs>,
    /// The texts put before queries and documents: none, or those that the models' authors state
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = PromptsArg::None)]
    pub(crate) prompts: PromptsArg,
    /// Most tokens of a text or pair, capped by the models' positions [default: as their files say]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) max_tokens: Option<usize>,
    /// A setting of the only model, as for `embedkit embed`; can be repeated
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) options: Vec<(String, String)>,
    /// Address and port, or a socket in the file system
    #[arg(long, value_name = "ADDRESS:PORT|unix:PATH", value_parser = listen, default_value = "127.0.0.1:3000")]
    pub(crate) listen: Listen,
    /// A file with a key on each line, one of which a request has to bring; EMBEDKIT_API_KEY has further
    /// ones, separated by commas [default: no keys]
    #[arg(long, value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Pages from there may send requests, such as https://example.com, or `*`; can be repeated
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    pub(crate) cors_origins: Vec<String>,
    /// Load models at their first request and not at the start
    #[arg(long)]
    pub(crate) lazy: bool,
    /// Unload a model after this time without requests, such as 5m [default: never]
    #[arg(long, value_name = "TIME", value_parser = keep_alive)]
    pub(crate) keep_alive: Option<Duration>,
    /// Clients may load models that are not listed here, by name
    #[arg(long)]
    pub(crate) open_any_model: bool,
    /// Fetch images that requests give by an address on this host, such as images.example.com or
    /// 10.0.0.7:8080; can be repeated. Names that lead to a private address are refused [default: none]
    #[arg(long = "allow-image-host", value_name = "HOST[:PORT]")]
    pub(crate) image_hosts: Vec<ImageHost>,
    /// Token ids from clients of OpenAI are of the models' own vocabularies
    #[arg(long)]
    pub(crate) token_ids: bool,
    /// Most tokens that wait for each model; further requests get status 429
    #[arg(long, value_name = "N", value_parser = count, default_value = "65536", allow_negative_numbers = true)]
    pub(crate) queue_tokens: usize,
    /// Most megabytes of a request
    #[arg(long, value_name = "N", value_parser = count, default_value = "32", allow_negative_numbers = true)]
    pub(crate) max_body: usize,
    /// Most megabytes of all requests in progress
    #[arg(long, value_name = "N", value_parser = count, default_value = "512", allow_negative_numbers = true)]
    pub(crate) max_bodies: usize,
    /// Most connections
    #[arg(long, value_name = "N", value_parser = count, default_value = "16384", allow_negative_numbers = true)]
    pub(crate) max_connections: usize,
    /// Most seconds for the requests in progress when the server ends
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub(crate) drain: Duration,
    /// The certificates of the server for HTTPS, in PEM form
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key for HTTPS, in PEM form
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The form of the log on standard error, with a line for each request unless -q is given
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogForm::Text)]
    pub(crate) log: LogForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    Text,
    Json,
}

fn listen(text: &str) -> Result<Listen, ListenError> {
    text.parse()
}
