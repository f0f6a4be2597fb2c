//! Extracts paragraphs from Markdown, without light markup.

/// Paragraphs of a Markdown document.
pub(super) fn of_markdown(text: &str) -> Vec<String> {
    paragraphs(text.lines())
}

/// Paragraphs of the inner documentation comments (`//!`) of a Rust file.
pub(super) fn of_comments(text: &str) -> Vec<String> {
    // Everything else ends a paragraph, like an empty line.
    paragraphs(text.lines().map(|line| comment(line, "//!").unwrap_or("")))
}

/// Paragraphs of the documentation comments (`///`) of a Rust file, for each item.
pub(super) fn of_items(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<_> = text.lines().map(|line| comment(line, "///")).collect();
    let items = lines.split(Option::is_none).filter(|item| !item.is_empty());
    items.map(|item| paragraphs(item.iter().copied().flatten())).collect()
}

/// Text of a line that is a comment of this kind.
fn comment<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    let text = line.trim_start().strip_prefix(kind)?;
    Some(text.strip_prefix(' ').unwrap_or(text))
}

/// Returns `true` for a paragraph of mostly words, not a table of numbers or code.
pub(super) fn is_prose(text: &str) -> bool {
    let all = text.chars().count();
    let words = text.chars().filter(|c| c.is_alphabetic() || *c == ' ').count();
    words * 4 >= all * 3
}

/// Blocks of lines between empty ones, without code, tables and headings. List items stay together,
/// since their text belongs together.
fn paragraphs<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let mut code = false;
    for line in lines {
        let text = line.trim();
        let fence = text.starts_with("```") || text.starts_with("~~~");
        code ^= fence;
        let indented = line.starts_with("    ") && current.is_empty();
        let other = text.starts_with(['#', '|']) || is_definition(text) || is_ruler(text);
        if fence || code || indented || other || text.is_empty() {
            end(&mut current, &mut found);
        } else {
            current.push_str(without_bullet(text));
            current.push('\n');
        }
    }
    end(&mut current, &mut found);
    found
}

fn end(current: &mut String, found: &mut Vec<String>) {
    let text = plain(&std::mem::take(current));
    if !text.is_empty() {
        found.push(text);
    }
}

/// Matches a link target, `[name]: address`.
fn is_definition(text: &str) -> bool {
    text.starts_with('[') && text.contains("]: ")
}

fn is_ruler(text: &str) -> bool {
    text.len() > 2 && text.chars().all(|c| "-=*_".contains(c))
}

fn without_bullet(text: &str) -> &str {
    let numbers = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = if numbers.len() < text.len() {
        numbers.strip_prefix(". ")
    } else {
        ["- ", "* ", "+ "].iter().find_map(|bullet| text.strip_prefix(bullet))
    };
    rest.map_or(text, str::trim_start)
}

/// Removes link targets, images, tags, emphasis and backticks from a text and separates its words by
/// one space.
fn plain(text: &str) -> String {
    let mut left = text;
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = left.chars().next() {
        let rest = &left[c.len_utf8()..];
        left = match c {
            '`' | '*' => rest,
            '!' if rest.starts_with('[') => after(after(rest, '[', ']'), '(', ')'),
            '[' => rest,
            ']' if rest.starts_with('(') => after(rest, '(', ')'),
            ']' if rest.starts_with('[') => after(rest, '[', ']'),
            ']' => rest,
            '<' if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!')
                && rest.contains('>') =>
            {
                after(left, '<', '>')
            }
            _ => {
                plain.push(c);
                rest
            }
        };
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rest after the bracket that closes the first one, or after the first one if nothing closes it.
fn after(text: &str, open: char, close: char) -> &str {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close && depth > 0 {
            depth -= 1;
        }
        if depth == 0 {
            return if at == 0 { text } else { &text[at + c.len_utf8()..] };
        }
    }
    text.strip_prefix(open).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_without_code_tables_and_headings() {
        let text = "# Title\n\nOne line\nand another.\n\n```rust\nlet x = 1;\n\nlet y;\n```\n\
                    | a | b |\n- an item\n- *one* more\n\n    indented code\n\n[a]: b\n---\nLast";
        assert_eq!(of_markdown(text), ["One line and another.", "an item one more", "Last"]);
    }

    #[test]
    fn comments_end_with_code() {
        let text =
            "//! A crate\n//! of ours.\n//!\n//! 1. first\n\nuse a;\n/// not this\nfn b() {}";
        assert_eq!(of_comments(text), ["A crate of ours.", "first"]);
        assert_eq!(of_comments("    //!indented"), ["indented"]);
    }

    #[test]
    fn items_are_apart() {
        let text =
            "//! file\n/// One.\n///\n///  More\n///  of it.\nfn a();\n    /// Two.\n    fn b();\n";
        assert_eq!(of_items(text), [vec!["One.", "More of it."], vec!["Two."]]);
    }

    #[test]
    fn markup_is_removed() {
        assert_eq!(plain("a [link](http://x/(y)) and [`ref`][r]."), "a link and ref.");
        assert_eq!(plain("![image](x.png) <b>bold</b>  **text**\n`code`"), "bold text code");
        assert_eq!(plain("[![badge](a)](b) 1 < 2 > 0"), "1 < 2 > 0");
        assert_eq!(plain("an open ]( and <tag"), "an open and <tag");
        assert_eq!(plain("<a <b> text"), "a text");
    }

    #[test]
    fn prose_is_mostly_words() {
        assert!(is_prose("It reads a file, then stops."));
        assert!(!is_prose("0.1.2 => 0.1.3 (#123, #124)"));
    }
}
