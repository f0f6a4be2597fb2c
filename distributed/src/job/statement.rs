//! The statement of a job: checked, and applied to one unit at a time.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Schema, SchemaRef},
    catalog::TableProvider,
    common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion},
    datasource::{empty::EmptyTable, provider_as_source},
    error::Result,
    execution::FunctionRegistry as _,
    logical_expr::{Expr, LogicalPlan, Projection, TableScan, expr::ScalarFunction},
    prelude::{DataFrame, SessionContext},
};

use super::JobError;
use crate::functions::{ModelFamily, TRIED};

/// Name of the table that a statement reads.
pub(crate) const SOURCE: &str = "source";

/// A statement over a table of the source's columns.
#[derive(Debug)]
pub(crate) struct Statement {
    plan: LogicalPlan,
    /// Names of the models.
    pub(crate) models: Vec<String>,
}

impl Statement {
    /// Plans a statement, so that its mistakes and unknown models are told before any work.
    ///
    /// # Errors
    /// SQL that cannot be planned, and statements whose result for a row depends on other rows.
    pub(crate) async fn new(
        session: &SessionContext,
        sql: &str,
        columns: SchemaRef,
    ) -> Result<Self, JobError> {
        session.register_table(SOURCE, Arc::new(EmptyTable::new(columns)))?;
        let planned = session.state().create_logical_plan(sql).await;
        session.deregister_table(SOURCE)?;
        let wrong = |reason: String| JobError::Config(format!("`statement`: {reason}"));
        let plan = planned.map_err(|error| wrong(error.strip_backtrace()))?;
        check(&plan).map_err(wrong)?;
        let models = models(&plan)?;
        let plan = with_errors(session, plan)?;
        Ok(Self { plan, models })
    }

    /// Columns of the result, with those of [`with_errors`] as structs.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::new(self.plan.schema().as_arrow().clone())
    }

    /// The statement over the rows of a table.
    pub(crate) fn over(
        &self,
        session: &SessionContext,
        table: Arc<dyn TableProvider>,
    ) -> Result<DataFrame> {
        let source = provider_as_source(table);
        let plan = self.plan.clone().transform_up(|node| match node {
            LogicalPlan::TableScan(scan) => {
                Ok(Transformed::yes(LogicalPlan::TableScan(TableScan {
                    source: Arc::clone(&source),
                    ..scan
                })))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(DataFrame::new(session.state(), plan.data))
    }
}

/// Refuses whatever needs more than one row at a time, since each unit is a query of its own.
fn check(plan: &LogicalPlan) -> Result<(), String> {
    let mut scans = 0;
    let mut refused = None;
    let visited = plan.apply_with_subqueries(|node| {
        let name = match node {
            LogicalPlan::TableScan(scan) => {
                scans += 1;
                if scan.table_name.table() == SOURCE {
                    None
                } else {
                    Some("another table than `source`")
                }
            }
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
                None
            }
            LogicalPlan::Unnest(_) => None,
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => Some("an aggregate"),
            LogicalPlan::Sort(_) => Some("ORDER BY"),
            LogicalPlan::Limit(_) => Some("LIMIT"),
            LogicalPlan::Window(_) => Some("a window"),
            LogicalPlan::Join(_) => Some("a join"),
            LogicalPlan::Subquery(_) => Some("a subquery"),
            _ => Some("more than one table or something else than a SELECT"),
        };
        refused = refused.or(name);
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    if let Err(error) = visited {
        return Err(error.strip_backtrace());
    }
    if let Some(name) = refused {
        return Err(format!(
            "it has {name}, while a job treats each row of `source` by itself (do the rest over its parts)"
        ));
    }
    if scans == 1 { Ok(()) } else { Err("it has to read the table `source` once".to_owned()) }
}

/// Names of the models that a plan runs, each once.
fn models(plan: &LogicalPlan) -> Result<Vec<String>, JobError> {
    let mut found = Vec::new();
    plan.apply(|node| {
        for expression in node.expressions() {
            expression.apply(|part| {
                if let Expr::ScalarFunction(ScalarFunction { func, args }) = part {
                    let of_model =
                        ModelFamily::ALL.iter().any(|family| family.name() == func.name());
                    let name = match args.first() {
                        Some(Expr::Literal(value, _)) if of_model => value.try_as_str().flatten(),
                        _ if func.name() == "bm25" => Some(crate::models::BM25),
                        _ => None,
                    };
                    found.extend(name.map(ToOwned::to_owned));
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    found.sort();
    found.dedup();
    Ok(found)
}

/// The plan with `embed_try` in place of each `embed`, `sparse` and `colbert` that is a column of its result,
/// so that the reason of a failure is known. [`Columns`](super::columns::Columns) takes vector and reason apart again.
fn with_errors(session: &SessionContext, plan: LogicalPlan) -> Result<LogicalPlan, JobError> {
    let LogicalPlan::Projection(Projection { expr, input, .. }) = plan else { return Ok(plan) };
    let embed_try = session.udf(ModelFamily::EmbedTry.name())?;
    let of_vectors =
        [ModelFamily::Embed, ModelFamily::Sparse, ModelFamily::Colbert].map(ModelFamily::name);
    let with_error = |column: Expr| -> Expr {
        let (alias, inner) = match &column {
            Expr::Alias(alias) => (alias.name.clone(), (*alias.expr).clone()),
            other => (other.schema_name().to_string(), column.clone()),
        };
        match inner {
            Expr::ScalarFunction(ScalarFunction { func, args })
                if of_vectors.contains(&func.name()) =>
            {
                Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&embed_try), args))
                    .alias(alias)
            }
            _ => column,
        }
    };
    let expr = expr.into_iter().map(with_error).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(expr, input)?))
}

/// True for a column that `embed_try` makes.
pub(crate) fn is_tried(kind: &DataType) -> bool {
    let DataType::Struct(fields) = kind else { return false };
    fields.iter().map(|field| field.name().as_str()).eq(TRIED)
}

/// Position of the column that names rows.
pub(crate) fn id_column(schema: &Schema, name: Option<&str>) -> Result<usize, JobError> {
    let Some(name) = name else { return Ok(0) };
    schema.index_of(name).map_err(|_| {
        let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        JobError::Config(format!(
            "`id`: the statement has no column {name}, only {}",
            columns.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Field;

    use super::*;
    use crate::{FunctionOptions, register_all};

    async fn planned(sql: &str) -> Result<Statement, JobError> {
        let session = SessionContext::new();
        register_all(&session, FunctionOptions::default());
        let fields =
            vec![Field::new("id", DataType::Int64, true), Field::new("text", DataType::Utf8, true)];
        Statement::new(&session, sql, Arc::new(Schema::new(fields))).await
    }

    #[tokio::test]
    async fn each_row_is_treated_by_itself() {
        for sql in [
            "SELECT id, bm25(text) FROM source WHERE id > 3",
            "SELECT id, t FROM (SELECT id, lower(text) AS t FROM source) AS s",
        ] {
            planned(sql).await.unwrap();
        }
        for (sql, named) in [
            ("SELECT count(*) FROM source", "an aggregate"),
            ("SELECT DISTINCT id FROM source", "an aggregate"),
            ("SELECT id FROM source ORDER BY id", "ORDER BY"),
            ("SELECT id FROM source LIMIT 3", "LIMIT"),
            ("SELECT row_number() OVER () FROM source", "a window"),
            ("SELECT a.id FROM source a JOIN source b ON a.id = b.id", "a join"),
            ("SELECT id FROM source WHERE id IN (SELECT max(id) FROM source)", "a subquery"),
            ("SELECT 1", "something else"),
            ("SELECT nothing FROM source", "nothing"),
            ("DROP TABLE source", "something else"),
        ] {
            let error = planned(sql).await.unwrap_err().to_string();
            assert!(error.contains(named), "{sql}: {error}");
        }
    }

    #[tokio::test]
    async fn columns_of_embed_keep_their_reasons() {
        let sql = "SELECT id, embed('BAAI/bge-small-en-v1.5', text) AS vector FROM source";
        let statement = planned(sql).await.unwrap();
        assert_eq!(statement.models, ["BAAI/bge-small-en-v1.5"]);
        let schema = statement.schema();
        assert_eq!(schema.field(1).name(), "vector");
        assert!(is_tried(schema.field(1).data_type()) && !is_tried(schema.field(0).data_type()));
        assert_eq!(id_column(&schema, None).unwrap(), 0);
        assert_eq!(id_column(&schema, Some("vector")).unwrap(), 1);
        let error = id_column(&schema, Some("key")).unwrap_err().to_string();
        assert!(error.contains("key") && error.contains("id, vector"), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_model_is_told_before_any_work() {
        let error =
            planned("SELECT embed('bge-smal', text) FROM source").await.unwrap_err().to_string();
        assert!(error.contains("unknown model"), "{error}");
    }
}
