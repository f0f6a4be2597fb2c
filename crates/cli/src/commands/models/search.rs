//! `embedkit models search`: the models that fit all words.

use anyhow::Result;
use embedkit::registry;
use embedkit_types::ModelSpec;

use crate::report::{advice, causes, failure};

/// The models that fit all words, those with the words in their id first.
///
/// # Errors
/// None fits; the hint has the closest names.
pub(super) fn search(words: &[String]) -> Result<Vec<&'static ModelSpec>> {
    let words: Vec<_> = words.iter().map(|word| word.to_lowercase()).collect();
    let mut found: Vec<_> = registry::models()
        .iter()
        .filter(|spec| words.iter().all(|word| fits(spec, word)))
        .collect();
    // Stable: equals stay in the order of the registry.
    found.sort_by_key(|spec| !words.iter().all(|word| spec.id.to_lowercase().contains(word)));
    if found.is_empty() { Err(nothing(&words)) } else { Ok(found) }
}

fn fits(spec: &ModelSpec, word: &str) -> bool {
    let repo = spec.source.repo.as_deref();
    let names = [Some(&*spec.id), repo, Some(spec.task.name()), spec.license.as_deref()];
    let languages = spec.languages.iter().map(|language| &**language);
    names.into_iter().flatten().chain(languages).any(|name| name.to_lowercase().contains(word))
}

fn nothing(words: &[String]) -> anyhow::Error {
    let text = words.join(" ");
    let alone = |word: &str| registry::models().iter().any(|spec| fits(spec, word));
    let fitting: Vec<_> = words.iter().filter(|word| alone(word)).map(String::as_str).collect();
    // The words that no model has are the ones to spell otherwise.
    let unknown = words.iter().find(|word| !fitting.contains(&word.as_str()));
    let hint = match unknown.map(|word| registry::find(word)) {
        Some(Err(error)) => {
            let error = error.into();
            advice(&error).unwrap_or_else(|| causes(&error))
        }
        _ => format!("leave one of the words out: {}", fitting.join(", ")),
    };
    failure(format!("no model fits {text:?}")).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::exit_report;

    fn ids(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        search(&words).unwrap().iter().map(|spec| &*spec.id).collect()
    }

    fn message(words: &[&str]) -> String {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        exit_report(&search(&words).unwrap_err()).text
    }

    #[test]
    fn ids_languages_tasks_and_licences_are_searched() {
        assert_eq!(ids(&["BAAI/BGE-SMALL-EN-V1.5"]), ["BAAI/bge-small-en-v1.5"]);
        for (words, id) in [
            (&["german", "apache"][..], "jinaai/jina-embeddings-v2-base-de"),
            (&["rerank", "mit"], "BAAI/bge-reranker-base"),
            (&["sparse"], "Qdrant/bm25"),
        ] {
            assert!(ids(words).contains(&id), "{words:?}");
        }
        // A word in the id counts more than one elsewhere.
        let found = ids(&["rerank"]);
        let is_named = |id: &&str| id.to_lowercase().contains("rerank");
        let named = found.iter().copied().take_while(is_named).count();
        assert!(named > 1 && named < found.len());
        assert!(!found[named..].iter().any(is_named));
    }

    #[test]
    fn what_fits_nothing_leads_to_the_closest() {
        let text = message(&["bge-smal-en"]);
        assert!(text.starts_with("error: no model fits \"bge-smal-en\"\nhint: "), "{text}");
        assert!(text.contains("BAAI/bge-small-en"), "{text}");
        let text = message(&["qdrant/bm25", "rerank"]);
        assert!(text.contains("leave one of the words out"), "{text}");
        assert!(message(&["\u{1b}[31m"]).contains("embedkit models list"));
    }
}
