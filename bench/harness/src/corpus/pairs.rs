//! Queries with known answers from documentation: the summary of an item, and what else is said of it.

use std::{collections::BTreeMap, fs, ops::RangeInclusive};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{documents, hex, prose, sources};

/// Number of pairs.
pub(crate) const PAIRS: usize = 2400;
/// Words of a summary.
const SUMMARY: RangeInclusive<usize> = 5..=25;
/// Words of the rest.
const DETAILS: RangeInclusive<usize> = 20..=250;
/// SHA-256 of all pairs, two lines for each.
const FINGERPRINT: &str = "4a7b5ceb956bf41f41f76648e20d20d8366323041b2168e473e57451399d0620";

/// Documentation of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The first paragraph.
    pub(crate) summary: String,
    /// All others.
    pub(crate) details: String,
}

/// The pairs of the packages that `bench/corpus` names, in an order without pattern. No summary and no
/// details are there twice.
pub(crate) fn pairs() -> Result<Vec<Pair>> {
    let mut found = BTreeMap::new();
    for package in sources()? {
        for file in
            documents(&package)?.iter().filter(|file| file.extension().is_some_and(|it| it == "rs"))
        {
            let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            for pair in of_source(&String::from_utf8_lossy(&bytes)) {
                found.entry(pair.summary).or_insert(pair.details);
            }
        }
    }
    let mut details = BTreeMap::new();
    for (summary, text) in found {
        details.entry(text).or_insert(summary);
    }
    let sorted: BTreeMap<_, _> = details
        .into_iter()
        .map(|(details, summary)| (Sha256::digest(&summary).to_vec(), Pair { summary, details }))
        .collect();
    let count = sorted.len();
    let pairs: Vec<Pair> = sorted.into_values().take(PAIRS).collect();
    if pairs.len() < PAIRS {
        bail!("the sources have {count} documented items, fewer than {PAIRS}");
    }
    let lines = pairs.iter().map(|pair| format!("{}\n{}\n", pair.summary, pair.details));
    let fingerprint = hex(&Sha256::digest(lines.collect::<String>()));
    if fingerprint != FINGERPRINT {
        bail!(
            "the pairs are not those of earlier figures: their fingerprint is {fingerprint}, not {FINGERPRINT}"
        );
    }
    Ok(pairs)
}

/// The items of a source file that are documented at some length.
fn of_source(text: &str) -> Vec<Pair> {
    let pair = |paragraphs: Vec<String>| {
        let (summary, details) = paragraphs.split_first()?;
        let details = details.join(" ");
        let fits = |text: &str, words: &RangeInclusive<usize>| {
            words.contains(&text.split(' ').count()) && prose::is_prose(text)
        };
        (fits(summary, &SUMMARY) && fits(&details, &DETAILS))
            .then(|| Pair { summary: summary.clone(), details })
    };
    prose::of_items(text).into_iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_with_a_summary_and_details_is_a_pair() {
        let details = "A snail that is told to hurry goes on as before, because it has no other \
                       speed than the one that you see, and it does not mind.";
        let text = format!(
            "/// Moves the snail over the leaf.\n///\n/// {details}\n///\n/// # Errors\n///\n/// It rests \
             now.\n/// ```\n/// code();\n/// ```\nfn go();\n\n/// Too short to ask for it.\n///\n/// No.\nfn b();"
        );
        let pair = Pair {
            summary: "Moves the snail over the leaf.".to_owned(),
            details: format!("{details} It rests now."),
        };
        assert_eq!(of_source(&text), [pair]);
    }
}
