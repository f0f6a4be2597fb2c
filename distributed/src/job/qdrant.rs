//! Points of Qdrant, by its REST interface. Their ids come from those of the documents, so that a
//! repetition overwrites.
//!
//! The client library would bring a second gRPC stack; upserts are one request.

use std::{env, time::Duration};

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, UInt32Type},
    json::ArrayWriter,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{
    JobError, QdrantConfig,
    columns::{self, Columns},
    key::hex,
};

/// Most bytes of an answer.
const LARGEST_ANSWER: u64 = 1 << 20;

/// A collection that takes points.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    config: QdrantConfig,
    /// URL of its points.
    url: String,
    key: Option<String>,
    agent: ureq::Agent,
    /// Columns of vectors with their names in the collection.
    vectors: Vec<(String, usize)>,
    payload: Vec<usize>,
    id: usize,
}

impl Collection {
    /// Prepares to write; checks that the columns are there and can be vectors.
    pub(crate) fn new(config: &QdrantConfig, columns: &Columns) -> Result<Self, JobError> {
        let wrong = |reason: String| JobError::Config(format!("`sink.qdrant`: {reason}"));
        let schema = columns.schema();
        let find = |name: &String| {
            schema.index_of(name).map_err(|_| wrong(format!("the statement has no column {name}")))
        };
        let mut vectors = Vec::new();
        for (column, name) in &config.vectors {
            let at = find(column)?;
            if !is_vector(schema.field(at).data_type()) {
                return Err(wrong(format!("the column {column} has no vectors")));
            }
            vectors.push((name.clone(), at));
        }
        if vectors.is_empty() {
            return Err(wrong("`vectors` names no column".to_owned()));
        }
        if vectors.len() > 1 && vectors.iter().any(|(name, _)| name.is_empty()) {
            return Err(wrong("a collection with an unnamed vector has no other".to_owned()));
        }
        let payload = config.payload.iter().map(find).collect::<Result<_, _>>()?;
        let mut url = Url::parse(&config.url).map_err(|error| wrong(format!("`url`: {error}")))?;
        url.path_segments_mut()
            .map_err(|()| wrong("`url` cannot be that of a server".to_owned()))?
            .pop_if_empty()
            .extend(["collections", &config.collection, "points"]);
        url.set_query(Some("wait=true"));
        let timeout = Some(Duration::from_secs(60));
        let agent =
            ureq::Agent::config_builder().timeout_global(timeout).http_status_as_error(false);
        Ok(Self {
            config: config.clone(),
            url: url.into(),
            key: env::var(&config.api_key_variable).ok().filter(|key| !key.is_empty()),
            agent: agent.build().into(),
            vectors,
            payload,
            id: columns.id(),
        })
    }

    /// Rows of a request.
    pub(crate) fn points(&self) -> usize {
        self.config.points
    }

    /// Writes the rows that have a vector, and waits until they are there.
    pub(crate) async fn upsert(&self, batch: RecordBatch) -> Result<(), JobError> {
        let this = self.clone();
        let sent = tokio::task::spawn_blocking(move || {
            let points = this.body(&batch)?;
            if points.is_empty() { Ok(()) } else { this.send(&json!({ "points": points })) }
        });
        sent.await.map_err(|panic| self.error(panic.to_string(), false))?
    }

    fn body(&self, batch: &RecordBatch) -> Result<Vec<Value>, JobError> {
        let mut payloads = self.payloads(batch)?.into_iter();
        let mut points = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let payload = payloads.next().unwrap_or_else(|| json!({}));
            let named = self
                .vectors
                .iter()
                .filter_map(|(name, at)| Some((name.clone(), vector_of(batch.column(*at), row)?)));
            let mut vectors: Map<String, Value> = named.collect();
            if vectors.is_empty() {
                continue;
            }
            let vector = vectors.remove("").unwrap_or(Value::Object(vectors));
            let id = point_id(batch.column(self.id), row)?;
            points.push(json!({ "id": id, "vector": vector, "payload": payload }));
        }
        Ok(points)
    }

    /// The payload of each row.
    fn payloads(&self, batch: &RecordBatch) -> Result<Vec<Value>, JobError> {
        if self.payload.is_empty() {
            return Ok(Vec::new());
        }
        let mut writer = ArrayWriter::new(Vec::new());
        writer.write(&batch.project(&self.payload)?)?;
        writer.finish()?;
        serde_json::from_slice(&writer.into_inner())
            .map_err(|error| self.error(error.to_string(), false))
    }

    fn send(&self, body: &Value) -> Result<(), JobError> {
        let mut request = self.agent.put(&self.url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("api-key", key);
        }
        let answer = request.send(body.to_string());
        let mut answer = answer.map_err(|error| self.error(error.to_string(), true))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_string();
        let reason = format!("status {status}: {}", text.unwrap_or_default().trim());
        Err(self.error(reason, status.is_server_error() || status.as_u16() == 429))
    }

    fn error(&self, reason: String, passing: bool) -> JobError {
        JobError::Qdrant { url: self.url.clone(), reason, passing }
    }
}

fn is_vector(kind: &DataType) -> bool {
    match kind {
        DataType::FixedSizeList(item, _) => item.data_type() == &DataType::Float32,
        DataType::List(item) => matches!(item.data_type(), DataType::FixedSizeList(..)),
        DataType::Struct(fields) => {
            fields.iter().map(|field| field.name().as_str()).eq(["indices", "values"])
        }
        _ => false,
    }
}

/// The vector of a row as Qdrant takes it; `None` for NULL.
fn vector_of(column: &ArrayRef, row: usize) -> Option<Value> {
    if column.is_null(row) {
        return None;
    }
    let dense = |vector: &ArrayRef| json!(vector.as_primitive::<Float32Type>().values()[..]);
    Some(match column.data_type() {
        DataType::FixedSizeList(..) => dense(&column.as_fixed_size_list().value(row)),
        DataType::List(_) => {
            let vectors = column.as_list::<i32>().value(row);
            let vectors = vectors.as_fixed_size_list();
            (0..vectors.len()).map(|at| dense(&vectors.value(at))).collect()
        }
        _ => {
            let terms = column.as_struct();
            let list = |at: usize| terms.column(at).as_list::<i32>().value(row);
            let (indices, values) = (list(0), list(1));
            json!({
                "indices": indices.as_primitive::<UInt32Type>().values()[..],
                "values": values.as_primitive::<Float32Type>().values()[..],
            })
        }
    })
}

/// The id of a point: the document's own where it is a number that Qdrant takes, else a UUID of its hash.
fn point_id(column: &ArrayRef, row: usize) -> Result<Value, JobError> {
    let text = columns::text_of(column, row)?;
    if column.data_type().is_integer()
        && let Ok(number) = text.parse::<u64>()
    {
        return Ok(number.into());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(text)[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80; // version 8: bits of one's own
    bytes[8] = bytes[8] & 0x3f | 0x80; // variant of RFC 9562
    let digits = hex(&bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-").into())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        sync::{Arc, mpsc},
        thread,
    };

    use datafusion::{
        arrow::array::{Int64Array, StringArray},
        prelude::SessionContext,
    };

    use super::*;

    fn config(url: &str) -> QdrantConfig {
        let lines =
            format!("url = '{url}'\ncollection = 'a b'\nvectors = {{ v = '' }}\npayload = ['n']\n");
        toml::from_str(&format!("{lines}points = 2")).unwrap()
    }

    async fn batch() -> RecordBatch {
        let sql = "SELECT * FROM (VALUES ('a', 1, arrow_cast(make_array(0.5, 1.0), 'FixedSizeList(2, Float32)')), \
                   ('b', 2, NULL)) AS t (id, n, v)";
        let found = SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap();
        found.into_iter().next().unwrap()
    }

    /// A server that answers each request with the next of some statuses and hands out what it was sent.
    fn server(statuses: &'static [u16]) -> (String, mpsc::Receiver<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for status in statuses {
                let mut stream = BufReader::new(listener.accept().unwrap().0);
                let (mut head, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(&line);
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let answer = "{\"status\":\"why\"}";
                let text = format!(
                    "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
                    answer.len()
                );
                stream.get_mut().write_all(text.as_bytes()).unwrap();
                sender.send((head, String::from_utf8(body).unwrap())).unwrap();
            }
        });
        (url, receiver)
    }

    #[tokio::test]
    async fn rows_with_a_vector_are_upserted() {
        let (url, requests) = server(&[200]);
        let batch = batch().await;
        let columns = Columns::new(&batch.schema(), 0);
        let collection = Collection::new(&config(&url), &columns).unwrap();
        collection.upsert(batch).await.unwrap();
        let (head, body) = requests.recv().unwrap();
        assert!(head.starts_with("PUT /base/collections/a%20b/points?wait=true "), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let points = body["points"].as_array().unwrap();
        assert_eq!(points.len(), 1, "the other row has no vector: {body}");
        assert_eq!(points[0]["vector"], json!([0.5, 1.0]));
        assert_eq!(points[0]["payload"], json!({ "n": 1 }));
        assert_eq!(points[0]["id"].as_str().unwrap().len(), 36);
    }

    #[tokio::test]
    async fn only_trouble_of_the_server_may_pass() {
        let (url, _requests) = server(&[503, 429, 400]);
        let batch = batch().await;
        let collection = Collection::new(&config(&url), &Columns::new(&batch.schema(), 0)).unwrap();
        for passes in [true, true, false] {
            let error = collection.upsert(batch.clone()).await.unwrap_err();
            assert!(error.to_string().contains("why"), "{error}");
            assert_eq!(error.is_passing(false), passes, "{error}");
        }
    }

    #[test]
    fn an_id_is_that_of_the_document() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7, -7]));
        assert_eq!(point_id(&numbers, 0).unwrap(), json!(7));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["7", "-7"]));
        let of_text = point_id(&texts, 0).unwrap();
        assert!(of_text.is_string(), "a text is no number: {of_text}");
        assert_eq!(point_id(&numbers, 1).unwrap(), point_id(&texts, 1).unwrap());
        assert_ne!(of_text, point_id(&texts, 1).unwrap());
        assert_eq!(&of_text.as_str().unwrap()[14..15], "8", "the version of a UUID");
    }

    #[tokio::test]
    async fn columns_have_to_be_there() {
        let batch = batch().await;
        let columns = Columns::new(&batch.schema(), 0);
        for (vectors, named) in
            [("{ w = '' }", "w"), ("{ n = '' }", "no vectors"), ("{}", "no column")]
        {
            let lines = format!("url = 'http://h'\ncollection = 'c'\nvectors = {vectors}");
            let config = toml::from_str(&lines).unwrap();
            let error = Collection::new(&config, &columns).unwrap_err().to_string();
            assert!(error.contains(named), "{vectors}: {error}");
        }
    }
}
