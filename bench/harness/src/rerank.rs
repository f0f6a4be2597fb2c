//! `rerank`: queries and documents to scores, compared with the original.

use anyhow::Result;
use serde_json::json;

use super::{
    comparison::{Comparison, Inputs},
    contestants::{Kind, Setting},
    corpus::{self, Corpus},
    models,
    report::Report,
    scale::Scale,
};

/// Documents for each query.
const EACH: usize = 20;

/// Measures.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    let model = models::reranker(setting.folder)?;
    let comparison = Comparison::of(setting, scale, Kind::Rerank, &model, "mixed pairs");
    let mut ours = comparison.ours()?;
    let mixed = Inputs::write(setting, "pairs", pairs(corpus, scale.fewer), &mut ours)?;
    let few = Inputs::write(setting, "few-pairs", pairs(corpus, scale.few), &mut ours)?;
    report.inputs = json!({
        "fingerprint": corpus.fingerprint, "mixed": mixed.describe(), "few": few.describe(),
    });
    comparison.with_original(&few, &few, &mixed, ours, report)
}

/// Lines of a query and a document, separated by a tab; documents share queries.
fn pairs(corpus: &Corpus, count: usize) -> Vec<String> {
    let queries = corpus::queries(&corpus.texts, count.div_ceil(EACH));
    let documents = corpus.texts[..count].iter().enumerate();
    documents.map(|(i, text)| format!("{}\t{text}", queries[i / EACH % queries.len()])).collect()
}
