//! Heads after the encoder: none, the last attention weights, or a head with weights.

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::encoder::{
    CausalLm, Classifier, Encoder, Linear, MaskedLm, Part, Pooled, Pooling, Table,
};
use crate::graph::{Attribute, BATCH, Dim, FLOAT, Graph, Port, SEQUENCE, Value};
use crate::network::{End, Network};
use crate::options::{ConvertOptions, Head};

/// Lays out the whole graph.
pub(crate) fn build(
    checkpoint: &Checkpoint,
    encoder: &Encoder,
    options: &ConvertOptions,
) -> Result<Graph, Error> {
    let mut network = Network::new(checkpoint, options.precision);
    let no_head = || Error::NoHead { model_type: encoder.model_type.clone(), head: options.head };
    let mut encode = |end| network.encode(encoder, options.token_types, end);
    let (value, name, shape) = match options.head {
        Head::Hidden => {
            let shape = vec![BATCH, SEQUENCE, Dim::Fixed(encoder.width)];
            (encode(End::Hidden)?, "last_hidden_state".to_owned(), shape)
        }
        Head::Attention => {
            let heads = encoder.layers.last().map_or(0, |layer| layer.attention.heads);
            let shape = vec![BATCH, Dim::Fixed(heads), SEQUENCE, SEQUENCE];
            (encode(End::Attention)?, format!("attention_{}", encoder.layers.len()), shape)
        }
        Head::MaskedLm => {
            let head = encoder.masked_lm.as_ref().ok_or_else(no_head)?;
            let words = encoder.words().ok_or_else(no_head)?;
            let hidden = encode(End::Hidden)?;
            let shape = vec![BATCH, SEQUENCE, Dim::Fixed(words.rows)];
            (masked_lm(&mut network, words, head, &hidden)?, "logits".to_owned(), shape)
        }
        Head::Text | Head::Image => {
            let head = encoder.pooled.as_ref().ok_or_else(no_head)?;
            let hidden = encode(End::Hidden)?;
            let width = head.projection.as_ref().map_or(encoder.width, |linear| linear.to);
            let name = if options.head == Head::Text { "text_embeds" } else { "image_embeds" };
            let vector = pooled(&mut network, head, &hidden)?;
            (vector, name.to_owned(), vec![BATCH, Dim::Fixed(width)])
        }
        Head::Classifier => {
            let head = encoder.classifier.as_ref().ok_or_else(no_head)?;
            let hidden = encode(End::Hidden)?;
            let labels = labels(checkpoint, head)?;
            let logits = classify(&mut network, head, labels, &hidden)?;
            (logits, "logits".to_owned(), vec![BATCH, Dim::Fixed(labels)])
        }
        Head::NextToken { true_token, false_token } => {
            let head = encoder.causal_lm.as_ref().ok_or_else(no_head)?;
            let tokens: Vec<_> = [true_token].into_iter().chain(false_token).collect();
            if let Some(&token) = tokens.iter().find(|&&token| token as usize >= head.rows) {
                let (model_type, rows) = (encoder.model_type.clone(), head.rows);
                return Err(Error::NoToken { model_type, token, rows });
            }
            let hidden = encode(End::Hidden)?;
            let logits = next_token(&mut network, head, encoder.width, &tokens, &hidden)?;
            (logits, "logits".to_owned(), vec![BATCH, Dim::Fixed(tokens.len())])
        }
    };
    let value = network.full(&value);
    let mut graph = network.graph;
    graph.rename(&value, &name);
    graph.output = Port { name, element: FLOAT, shape };
    Ok(graph)
}

/// Transform, activation, normalisation, and the product with the vocabulary.
fn masked_lm(
    network: &mut Network<'_>,
    words: &Table,
    head: &MaskedLm,
    hidden: &str,
) -> Result<Value, Error> {
    let x = network.linear(hidden, &head.dense)?;
    let x = network.activate(&x, head.activation);
    let x = network.norm(&x, &head.norm)?;
    let matrix = match &head.decoder {
        Some(name) => network.matrix(name, words.width, words.rows, Part::WHOLE)?,
        None => {
            let table = network.table(words)?; // stored once, even if it is used twice
            network.turn(&table)
        }
    };
    if head.bias.is_empty() {
        return Ok(network.graph.add("MatMul", &[&x, &matrix]));
    }
    let bias = network.weight(&head.bias, &[words.rows])?;
    let x = network.graph.add("MatMul", &[&x, &matrix]);
    Ok(network.graph.add("Add", &[&x, &bias]))
}

/// Passes one state of each sequence through a dense layer and a last one.
fn classify(
    network: &mut Network<'_>,
    head: &Classifier,
    labels: usize,
    hidden: &str,
) -> Result<Value, Error> {
    let x = network.pool(hidden, &head.pooling)?;
    let x = network.linear(&x, &head.dense)?;
    let x = network.activate(&x, head.activation);
    let x = network.optional_norm(&x, head.norm.as_ref())?;
    network.linear(&x, &Linear::new(head.last.clone(), head.dense.to, labels))
}

/// Product of the state of each sequence's last token with the rows of `tokens`.
fn next_token(
    network: &mut Network<'_>,
    head: &CausalLm,
    width: usize,
    tokens: &[u32],
    hidden: &str,
) -> Result<Value, Error> {
    let x = network.pool(hidden, &Pooling::LastAttended)?;
    let column = |&token: &u32| {
        let part = Part { index: token as usize, count: head.rows };
        network.matrix(&head.matrix, width, 1, part)
    };
    let columns = tokens.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    let matrix = match columns[..] {
        [only] => only.to_owned(),
        _ => network.graph.add_with("Concat", &columns, &[("axis", Attribute::Int(1))]),
    };
    Ok(network.graph.add("MatMul", &[&x, &matrix]))
}

/// One vector for each input.
fn pooled(network: &mut Network<'_>, head: &Pooled, hidden: &str) -> Result<Value, Error> {
    let x = network.pool(hidden, &head.pooling)?;
    let x = network.optional_norm(&x, head.norm.as_ref())?;
    match &head.projection {
        Some(projection) => network.linear(&x, projection),
        None => Ok(x),
    }
}

/// Number of classes, by the configuration or by the last matrix.
fn labels(checkpoint: &Checkpoint, head: &Classifier) -> Result<usize, Error> {
    let matrix = format!("{}.weight", head.last);
    let (_, located) = checkpoint.find(std::slice::from_ref(&matrix))?;
    match (located.shape(), head.labels) {
        (_, Some(labels)) => Ok(labels),
        (&[labels, _], None) => Ok(labels as usize),
        (found, None) => Err(Error::Shape {
            path: checkpoint.path_of(located),
            tensor: matrix,
            expected: format!("[labels, {}]", head.dense.to),
            found: found.to_vec(),
        }),
    }
}
