//! A Qdrant server, over the network.

use std::time::Duration;

use anyhow::{Context as _, Result};
use qdrant_client::{
    Payload, Qdrant,
    qdrant::{
        CreateCollectionBuilder, Distance, Modifier, MultiVectorComparator,
        MultiVectorConfigBuilder, NamedVectors, PointStruct, Query, QueryPointsBuilder,
        SparseVectorParamsBuilder, SparseVectorsConfigBuilder, UpsertPointsBuilder, Vector,
        VectorInput, VectorParamsBuilder, VectorsConfigBuilder, point_id::PointIdOptions,
    },
};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{Embedded, Kind, Store, rows};

/// Made anew each time; nothing else should have this name.
const COLLECTION: &str = "embedkit-example";

pub(crate) struct Server {
    client: Qdrant,
    runtime: Runtime,
}

impl Server {
    /// An empty collection for vectors of the same dimensions as those of `like`.
    pub(crate) fn create(url: &str, like: &Embedded) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Qdrant::from_url(url)
            .connect_timeout(Duration::from_secs(2))
            .skip_compatibility_check()
            .build()?;
        let max_sim = MultiVectorConfigBuilder::new(MultiVectorComparator::MaxSim);
        let mut vectors = VectorsConfigBuilder::default();
        vectors.add_named_vector_params(
            Kind::Dense.name(),
            VectorParamsBuilder::new(like.dense.len() as u64, Distance::Cosine),
        );
        vectors.add_named_vector_params(
            Kind::Tokens.name(),
            VectorParamsBuilder::new(like.tokens.dim() as u64, Distance::Dot)
                .multivector_config(max_sim),
        );
        // BM25 leaves the rarity of terms to the store, which knows the collection.
        let mut terms = SparseVectorsConfigBuilder::default();
        terms.add_named_vector_params(
            Kind::Terms.name(),
            SparseVectorParamsBuilder::default().modifier(Modifier::Idf),
        );
        runtime.block_on(async {
            if client.collection_exists(COLLECTION).await? {
                client.delete_collection(COLLECTION).await?;
            }
            let collection = CreateCollectionBuilder::new(COLLECTION)
                .vectors_config(vectors)
                .sparse_vectors_config(terms);
            client.create_collection(collection).await
        })?;
        Ok(Self { client, runtime })
    }
}

impl Store for Server {
    fn insert(&mut self, passages: &[Embedded]) -> Result<()> {
        let points = passages.iter().zip(0u64..).map(|(passage, id)| {
            let vectors = Kind::ALL.into_iter().fold(NamedVectors::default(), |vectors, kind| {
                vectors.add_vector(kind.name(), vector(passage, kind))
            });
            let payload = Payload::try_from(json!({ "text": passage.text }))?;
            Ok(PointStruct::new(id, vectors, payload))
        });
        let points = points.collect::<Result<Vec<_>>>()?;
        let upsert = UpsertPointsBuilder::new(COLLECTION, points).wait(true);
        self.runtime.block_on(self.client.upsert_points(upsert))?;
        Ok(())
    }

    fn search(&self, question: &Embedded, by: Kind, top_k: usize) -> Result<Vec<(usize, f32)>> {
        let request = QueryPointsBuilder::new(COLLECTION)
            .query(Query::new_nearest(asked(question, by)))
            .using(by.name())
            .limit(top_k as u64);
        let found = self.runtime.block_on(self.client.query(request))?.result;
        found
            .into_iter()
            .map(|point| match point.id.and_then(|id| id.point_id_options) {
                Some(PointIdOptions::Num(id)) => Ok((usize::try_from(id)?, point.score)),
                _ => None.context("a passage that was not stored here"),
            })
            .collect()
    }
}

fn vector(embedded: &Embedded, kind: Kind) -> Vector {
    match kind {
        Kind::Dense => Vector::new_dense(embedded.dense.clone()),
        Kind::Terms => {
            Vector::new_sparse(embedded.terms.indices().to_vec(), embedded.terms.values().to_vec())
        }
        Kind::Tokens => Vector::new_multi(rows(&embedded.tokens)),
    }
}

/// The same as what to look for: the interface has a type of its own for that.
fn asked(embedded: &Embedded, kind: Kind) -> VectorInput {
    match kind {
        Kind::Dense => VectorInput::new_dense(embedded.dense.clone()),
        Kind::Terms => VectorInput::new_sparse(
            embedded.terms.indices().to_vec(),
            embedded.terms.values().to_vec(),
        ),
        Kind::Tokens => VectorInput::new_multi(rows(&embedded.tokens)),
    }
}
