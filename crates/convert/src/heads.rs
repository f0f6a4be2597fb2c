//! Heads after the encoder: none, the last attention weights, or a head with weights.

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::config::{Activation, Config, Family};
use crate::graph::{Attribute, BATCH, Dim, FLOAT, Graph, Port, SEQUENCE};
use crate::network::{End, Network};
use crate::options::{ConvertOptions, Head};

const HIDDEN: &str = "last_hidden_state";
const LOGITS: &str = "logits";

/// Lays out the whole graph.
pub(crate) fn build(
    checkpoint: &Checkpoint,
    config: &Config,
    options: &ConvertOptions,
) -> Result<Graph, Error> {
    let mut network = Network::new(checkpoint, config)?;
    let types = options.token_types;
    let (name, shape) = match options.head {
        Head::Hidden => {
            network.encode(types, &End::Hidden(HIDDEN))?;
            (HIDDEN.to_owned(), vec![BATCH, SEQUENCE, Dim::Fixed(config.hidden)])
        }
        Head::Attention => {
            let name = format!("attention_{}", config.layers);
            network.encode(types, &End::Attention(&name))?;
            (name, vec![BATCH, Dim::Fixed(config.heads), SEQUENCE, SEQUENCE])
        }
        Head::MaskedLm => {
            let hidden = network.encode(types, &End::Inner)?;
            masked_lm(&mut network, config, &hidden)?;
            (LOGITS.to_owned(), vec![BATCH, SEQUENCE, Dim::Fixed(config.vocabulary)])
        }
        Head::Classifier => {
            let hidden = network.encode(types, &End::Inner)?;
            let labels = classify(&mut network, checkpoint, config, &hidden)?;
            (LOGITS.to_owned(), vec![BATCH, Dim::Fixed(labels)])
        }
    };
    let mut graph = network.graph;
    graph.output = Port { name, element: FLOAT, shape };
    Ok(graph)
}

/// Transform, activation, normalisation, and the product with the vocabulary.
fn masked_lm(network: &mut Network<'_>, config: &Config, hidden: &str) -> Result<(), Error> {
    let (dense, norm, decoder, bias) = match config.family {
        Family::Bert => (
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.decoder",
            "cls.predictions",
        ),
        Family::Roberta | Family::MpNet => {
            ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head")
        }
        Family::DistilBert => {
            ("vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector")
        }
    };
    // BERT and DistilBERT use the encoder's activation here, the others always GELU.
    let activation = match config.family {
        Family::Bert | Family::DistilBert => config.activation,
        Family::Roberta | Family::MpNet => Activation::Gelu,
    };
    let x = network.linear(hidden, dense, config.hidden, config.hidden)?;
    let x = network.activate(&x, activation);
    let x = network.norm(&x, norm, None)?;
    let matrix = if config.tied {
        let table = network.word_table()?; // stored once, even if it is used twice
        network.turn(&table)
    } else {
        network.matrix(&[format!("{decoder}.weight")], config.hidden, config.vocabulary)?
    };
    // The bias belongs to the head and to its last layer; a checkpoint may have either name.
    let names = if bias == decoder {
        vec![format!("{bias}.bias")]
    } else {
        vec![format!("{bias}.bias"), format!("{decoder}.bias")]
    };
    let bias = network.weight(&names, &[config.vocabulary], false)?;
    let x = network.graph.add("MatMul", &[&x, &matrix]);
    network.graph.add_named("Add", &[&x, &bias], &[], LOGITS);
    Ok(())
}

/// Passes the first token's state through a dense layer and a last one; returns the number of labels.
fn classify(
    network: &mut Network<'_>,
    checkpoint: &Checkpoint,
    config: &Config,
    hidden: &str,
) -> Result<usize, Error> {
    let (dense, function, last) = match config.family {
        Family::Bert => (network.own("pooler.dense"), "Tanh", "classifier"),
        Family::Roberta | Family::MpNet => {
            ("classifier.dense".to_owned(), "Tanh", "classifier.out_proj")
        }
        Family::DistilBert => ("pre_classifier".to_owned(), "Relu", "classifier"),
    };
    let matrix = format!("{last}.weight");
    let (_, located) = checkpoint.find(std::slice::from_ref(&matrix))?;
    let labels = match (located.shape(), config.labels) {
        (_, Some(labels)) => labels,
        (&[labels, _], None) => labels as usize,
        (found, None) => {
            return Err(Error::Shape {
                path: checkpoint.path_of(located),
                tensor: matrix,
                expected: format!("[labels, {}]", config.hidden),
                found: found.to_vec(),
            });
        }
    };
    let graph = &mut network.graph;
    let first = graph.int(0);
    let x = graph.add_with("Gather", &[hidden, &first], &[("axis", Attribute::Int(1))]);
    let x = network.linear(&x, &dense, config.hidden, config.hidden)?;
    let x = network.graph.add(function, &[&x]);
    let x = network.linear(&x, last, config.hidden, labels)?;
    network.graph.add_named("Identity", &[&x], &[], LOGITS);
    Ok(labels)
}
