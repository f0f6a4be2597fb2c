//! Qdrant's engine inside this process, on a folder.

use std::path::Path;

use anyhow::{Context as _, Result};
use qdrant_edge::{
    Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams, EdgeVectorParams, Modifier,
    MultiVectorComparator, MultiVectorConfig, NamedQuery, PointId, PointInsertOperations,
    PointOperations, PointStruct, QueryEnum, SearchRequestBuilder, UpdateOperation, Vector,
    VectorInternal, Vectors,
};
use serde_json::json;

use crate::{Embedded, Kind, Store, rows};

pub(crate) struct Edge {
    shard: EdgeShard,
}

impl Edge {
    /// An empty store for vectors of the same dimensions as those of `like`.
    pub(crate) fn create(folder: &Path, like: &Embedded) -> Result<Self> {
        let max_sim = MultiVectorConfig { comparator: MultiVectorComparator::MaxSim };
        let tokens = EdgeVectorParams::builder(like.tokens.dim(), Distance::Dot)
            .multivector_config(max_sim);
        // BM25 leaves the rarity of terms to the store, which knows the collection.
        let terms = EdgeSparseVectorParams { modifier: Some(Modifier::Idf), ..Default::default() };
        let config = EdgeConfig::builder()
            .vector(
                Kind::Dense.name(),
                EdgeVectorParams::builder(like.dense.len(), Distance::Cosine).build(),
            )
            .vector(Kind::Tokens.name(), tokens.build())
            .sparse_vector(Kind::Terms.name(), terms)
            .build();
        Ok(Self { shard: EdgeShard::new(folder, config)? })
    }
}

impl Store for Edge {
    fn insert(&mut self, passages: &[Embedded]) -> Result<()> {
        let points = passages.iter().zip(0u64..).map(|(passage, id)| {
            let vectors = Kind::ALL.map(|kind| Ok((kind.name(), vector(passage, kind)?)));
            let vectors = vectors.into_iter().collect::<Result<Vec<_>>>()?;
            let payload = json!({ "text": passage.text });
            Ok(PointStruct::new(id, Vectors::new_named(vectors), payload).into())
        });
        let points = points.collect::<Result<Vec<_>>>()?;
        self.shard.update(UpdateOperation::PointOperation(PointOperations::UpsertPoints(
            PointInsertOperations::PointsList(points),
        )))?;
        Ok(())
    }

    fn search(&self, question: &Embedded, by: Kind, top_k: usize) -> Result<Vec<(usize, f32)>> {
        let query = QueryEnum::Nearest(NamedQuery {
            query: VectorInternal::from(vector(question, by)?),
            using: Some(by.name().into()),
        });
        let found = self.shard.search(SearchRequestBuilder::new(query, top_k).build())?;
        found
            .into_iter()
            .map(|point| match point.id {
                PointId::NumId(id) => Ok((usize::try_from(id)?, point.score)),
                PointId::Uuid(_) => None.context("a passage that was not stored here"),
            })
            .collect()
    }
}

fn vector(embedded: &Embedded, kind: Kind) -> Result<Vector> {
    Ok(match kind {
        Kind::Dense => Vector::new_dense(embedded.dense.clone()),
        Kind::Terms => {
            Vector::new_sparse(embedded.terms.indices().to_vec(), embedded.terms.values().to_vec())?
        }
        Kind::Tokens => Vector::new_multi(rows(&embedded.tokens))?,
    })
}
