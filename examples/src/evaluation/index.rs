//! Documents embedded by a model, compared with a query one by one.

use std::{collections::BTreeSet, time::Instant};

use anyhow::{Context, Result, bail};
use embedkit::{
    Model, ModelSpec, MultiVector, Options, Output, OutputKind, Ranked, Role, SparseEmbedding,
    Task, registry,
    scoring::{Idf, MaxSim, top_k},
    types::LateText,
};

/// Opens a model by its id. Behind an `@` may be a folder with its files, and `tokens:` before the id of
/// a dense model stands for the vectors of its tokens, compared by MaxSim.
///
/// # Errors
/// Those of the model; `tokens:` before another kind of model.
pub fn open(name: &str, options: Options) -> Result<Model> {
    let (id, folder) = match name.split_once('@') {
        Some((id, folder)) => (id, Some(folder)),
        None => (name, None),
    };
    let builder = match id.strip_prefix("tokens:") {
        Some(id) => Model::builder_for([tokens(id)?])?,
        None => Model::builder(id)?,
    };
    let builder = builder.options(options);
    let builder = if let Some(folder) = folder { builder.dir(folder) } else { builder };
    builder.open().with_context(|| format!("cannot open {name}"))
}

/// A dense model as one of late interaction.
fn tokens(id: &str) -> Result<ModelSpec> {
    let spec = registry::find(id)?.into_iter().find_map(|spec| match &spec.task {
        Task::TextDense(task) => Some((spec, task.dim)),
        _ => None,
    });
    let (spec, dim) = spec.with_context(|| format!("{id} is no dense model"))?;
    let task = LateText { dim, normalize: true, normalize_queries: true, ..LateText::DEFAULT };
    Ok(ModelSpec { task: Task::LateText(task), ..spec.clone() })
}

/// A model and all documents, embedded by it if it is no reranker.
pub struct Index<'a> {
    model: Model,
    texts: &'a [String],
    vectors: Vectors,
    /// Seconds in which the documents were embedded.
    pub seconds: f64,
}

enum Vectors {
    /// Dense vectors, or terms with their final weights.
    Single(Vec<Output>),
    /// Terms that lack the inverse document frequency.
    Terms(Vec<SparseEmbedding>),
    Many(Vec<MultiVector>),
    /// A reranker reads the texts.
    None,
}

impl<'a> Index<'a> {
    /// Embeds the documents.
    ///
    /// # Errors
    /// Those of the model.
    pub fn new(model: Model, texts: &'a [String]) -> Result<Self> {
        let start = Instant::now();
        let capabilities = model.capabilities();
        let outputs = model.embed(Role::Document, texts.iter().map(String::as_str));
        let outputs = outputs.map(|output| output.map(|output| output.value));
        let vectors = if capabilities.gives(OutputKind::Score) {
            Vectors::None
        } else if capabilities.gives(OutputKind::MultiVector) {
            Vectors::Many(
                outputs.map(|output| output?.into_multi_vector()).collect::<Result<_, _>>()?,
            )
        } else if capabilities.requires_idf {
            Vectors::Terms(outputs.map(|output| output?.into_sparse()).collect::<Result<_, _>>()?)
        } else {
            Vectors::Single(outputs.collect::<Result<_, _>>()?)
        };
        let seconds = start.elapsed().as_secs_f64();
        Ok(Self { model, texts, vectors, seconds })
    }

    /// The best documents for a query, best first. Documents without a term of the query are not found
    /// by their terms.
    ///
    /// # Errors
    /// A reranker, which does not search; those of the model.
    pub fn search(&self, query: &str, k: usize) -> Result<Vec<Ranked>> {
        if matches!(self.vectors, Vectors::None) {
            bail!("{} scores candidates: write it behind a `>`", self.model.id());
        }
        let query = self.model.query(query)?;
        Ok(match &self.vectors {
            Vectors::Many(documents) => {
                MaxSim::new(documents)?.top_k(&query.into_multi_vector()?, k)?
            }
            Vectors::Terms(documents) => {
                let mut idf = Idf::new(&query.into_sparse()?);
                for document in documents {
                    idf.push(document);
                }
                let mut found: Vec<_> = idf.scores().collect();
                found.sort_by(|a, b| b.cmp(a));
                found.truncate(k);
                found
            }
            Vectors::Single(documents) => {
                let scores = documents.iter().map(|document| query.score(document));
                let mut found = top_k(scores.collect::<Result<Vec<_>, _>>()?, k);
                if query.kind() == OutputKind::Sparse {
                    found.retain(|one| one.score > 0.0);
                }
                found
            }
            Vectors::None => Vec::new(),
        })
    }

    /// Candidates in the order of this model.
    ///
    /// # Errors
    /// Those of the model.
    pub fn rerank(&self, query: &str, candidates: &[Ranked]) -> Result<Vec<Ranked>> {
        let scores = match &self.vectors {
            Vectors::None => {
                self.model.rerank(query, candidates.iter().map(|one| &self.texts[one.index]))?
            }
            Vectors::Many(documents) => {
                let chosen: Vec<_> = candidates.iter().map(|one| &documents[one.index]).collect();
                MaxSim::new(&chosen)?.score(&self.model.query(query)?.into_multi_vector()?)?
            }
            Vectors::Single(documents) => {
                let query = self.model.query(query)?;
                let scores = candidates.iter().map(|one| query.score(&documents[one.index]));
                scores.collect::<Result<_, _>>()?
            }
            // Frequencies are those of all documents.
            Vectors::Terms(documents) => {
                let candidates: BTreeSet<_> = candidates.iter().map(|one| one.index).collect();
                let mut found = self.search(query, documents.len())?;
                found.retain(|one| candidates.contains(&one.index));
                return Ok(found);
            }
        };
        let ranked = top_k(scores, candidates.len()).into_iter();
        Ok(ranked
            .map(|one| Ranked { index: candidates[one.index].index, score: one.score })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_search_and_put_candidates_in_order() {
        let texts = ["snails are slow", "hares are fast", "slow slow snails"].map(str::to_owned);
        let model = open("Qdrant/bm25", Options::default()).expect("BM25 needs no files");
        let index = Index::new(model, &texts).expect("an index");
        let order = |ranking: Vec<Ranked>| ranking.iter().map(|one| one.index).collect::<Vec<_>>();
        let all = index.search("slow snails", 10).expect("a search");
        assert_eq!(order(all), [2, 0], "hares have no term of the query");
        assert_eq!(order(index.search("slow snails", 1).expect("a search")), [2]);
        let candidates = [Ranked { index: 0, score: 9.0 }, Ranked { index: 1, score: 8.0 }];
        assert_eq!(order(index.rerank("slow snails", &candidates).expect("a ranking")), [0]);
    }

    #[test]
    fn tokens_are_those_of_dense_models() {
        let spec = tokens("sentence-transformers/all-MiniLM-L6-v2").expect("a dense model");
        assert!(matches!(spec.task, Task::LateText(LateText { dim: 384, normalize: true, .. })));
        let error = tokens("Qdrant/bm25").expect_err("sparse").to_string();
        assert_eq!(error, "Qdrant/bm25 is no dense model");
    }
}
