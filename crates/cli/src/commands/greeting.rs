//! `embedkit` alone, on a terminal: what to do first, by what is there already.

use anyhow::Result;
use embedkit::{DEFAULT_MODEL, hub::Hub, registry, runtime};

use super::models;
use crate::output::print;

/// Shows the first steps.
pub(crate) fn greet() -> Result<()> {
    let here = Here { runtime: runtime::find(None, None).is_ok(), model: is_cached() };
    print(&screen(here))
}

/// True if the model that is used without `--model` is on this machine.
fn is_cached() -> bool {
    let Ok(hub) = Hub::from_env(None, true) else { return false };
    let specs = registry::find(DEFAULT_MODEL).unwrap_or_default();
    specs.iter().any(|spec| hub.cached(spec).is_some())
}

/// Things that the first steps get.
#[derive(Debug, Clone, Copy)]
struct Here {
    runtime: bool,
    model: bool,
}

const INSTALL: &str = "\
First get the ONNX Runtime library, once; Python's pip fetches it:
  embedkit runtime install

Then vectors of two texts, and the texts that answer a question best:
";
const INSTALLED: &str = "\
Vectors of two texts, and the texts that answer a question best:
";
const STEPS: &str = "  embedkit embed \"hello world\" \"good night\"
  embedkit search \"what grows on trees?\" \"an apple\" \"a car\" \"a pear\"
  embedkit search \"how do plants eat?\" --input texts.txt --top-k 3
";
const WITHOUT: &str = "
One model needs neither library nor download; it finds words:
  embedkit search \"apple\" \"an apple\" \"a car\" --model Qdrant/bm25
";
const MORE: &str = "
More:
  embedkit doctor          # what works here, and what to do about the rest
  embedkit models list     # all models
  embedkit help            # all commands
  embedkit help embed      # options and examples of one
";

fn screen(here: Here) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("embedkit {version}: embeddings for retrieval, on this machine\n\n");
    text.push_str(if here.runtime { INSTALLED } else { INSTALL });
    text.push_str(STEPS);
    if !here.model {
        let specs = registry::find(DEFAULT_MODEL).unwrap_or_default();
        let size = models::size(specs.first().and_then(|spec| spec.size_gb));
        text.push_str(&format!("The first of them fetches the model {DEFAULT_MODEL} ({size}).\n"));
    }
    if !here.runtime {
        text.push_str(WITHOUT);
    }
    text.push_str(MORE);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_one_that_is_missing() {
        let screen = |runtime, model| screen(Here { runtime, model });
        let first = |text: &str| {
            let line = text.lines().find(|line| line.starts_with("  embedkit ")).map(str::trim);
            line.map(str::to_owned).unwrap()
        };
        assert_eq!(first(&screen(false, false)), "embedkit runtime install");
        assert!(first(&screen(true, false)).starts_with("embedkit embed "));
        let fetches = "fetches the model BAAI/bge-small-en-v1.5 (67 MB)";
        assert!(screen(true, false).contains(fetches) && !screen(true, true).contains(fetches));
        for text in [screen(false, false), screen(false, true), screen(true, true)] {
            assert!(
                text.lines().all(|line| line.len() <= 80) && text.lines().count() < 24,
                "{text}"
            );
            assert!(text.contains("embedkit doctor") && text.contains("embedkit help"));
        }
    }

    #[test]
    fn every_step_can_be_typed() {
        for line in crate::args::examples(&screen(Here { runtime: false, model: false })) {
            line.unwrap();
        }
    }
}
