//! Methods that the models of all text families have, written once.

/// Writes the front of a text family's model: `embed`, `query_embed` and `passage_embed` with the family's
/// own words and roles, `query_embed_one`, `embed_batch`, `supported_models`, and the trait
/// [`Embed`](embedkit_types::Embed). They are inherent methods of the family's own type.
///
/// The model itself has `embed_detailed(role, texts)`, from which all of these follow.
///
/// ```text
/// embedkit_core::text_front! {
///     impl TextEmbedding: TextDense => Vec<f32>;
///     /// Embeds texts as they are.
///     embed: Raw;
///     /// Embeds queries with the query prompt.
///     query_embed: Query;
///     /// Embeds passages with the passage prompt.
///     passage_embed: Document;
/// }
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! text_front {
    (
        impl $model:ty: $task:ident => $output:ty;
        $($(#[$docs:meta])* $name:ident: $role:ident;)+
    ) => {
        impl $model {
            /// The built-in models of this kind.
            pub fn supported_models() -> impl Iterator<Item = &'static $crate::front::ModelSpec> {
                let task = $crate::front::TaskKind::$task;
                $crate::registry::models().iter().filter(move |spec| spec.task.kind() == task)
            }

            $(
                $(#[$docs])*
                ///
                /// Embeddings come lazily and in input order. An error concerns the text in its place;
                /// the stream goes on behind it. Dropping the iterator stops the work.
                pub fn $name<I>(
                    &self,
                    texts: I,
                ) -> impl Iterator<Item = Result<$output, $crate::front::Error>> + use<I>
                where
                    I: IntoIterator,
                    I::Item: AsRef<str>,
                {
                    self.values($crate::front::Role::$role, texts)
                }
            )+

            /// Embeds one query, as [`query_embed`](Self::query_embed) does.
            ///
            /// # Errors
            /// Errors of loading, where the model is opened lazily, and of the query.
            pub fn query_embed_one(&self, query: &str) -> Result<$output, $crate::front::Error> {
                $crate::pipeline::only(self.values($crate::front::Role::Query, [query]))
            }

            /// Embeds all texts of a slice.
            ///
            /// # Errors
            /// The first error, in input order.
            pub fn embed_batch(
                &self,
                role: $crate::front::Role,
                texts: &[impl AsRef<str>],
            ) -> Result<Vec<$output>, $crate::front::Error> {
                self.values(role, texts).collect()
            }

            fn values<I>(
                &self,
                role: $crate::front::Role,
                texts: I,
            ) -> impl Iterator<Item = Result<$output, $crate::front::Error>> + use<I>
            where
                I: IntoIterator,
                I::Item: AsRef<str>,
            {
                self.embed_detailed(role, texts).map(|result| Ok(result?.value))
            }
        }

        impl $crate::front::Embed for $model {
            type Input = str;
            type Output = $output;

            fn embed_batch(
                &self,
                role: $crate::front::Role,
                texts: &[&str],
            ) -> Result<Vec<$output>, $crate::front::Error> {
                self.values(role, texts).collect()
            }
        }
    };
}

pub use embedkit_types::{Embed, Error, ModelSpec, Role, TaskKind};
