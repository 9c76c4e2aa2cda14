//! What a command said: the end of it, bounded, as text.

/// Bytes kept of each stream.
pub(super) const OUTPUT_MAX: usize = 4 * 1024;

/// The last [`OUTPUT_MAX`] bytes of a stream.
#[derive(Debug, Default)]
pub(super) struct Tail {
    kept: Vec<u8>,
    cut: bool,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = match bytes.len().checked_sub(OUTPUT_MAX) {
            Some(over) if 0 < over => {
                self.cut = true;
                bytes.get(over..).unwrap_or_default()
            }
            _ => bytes,
        };
        let over = (self.kept.len() + bytes.len()).saturating_sub(OUTPUT_MAX);
        if 0 < over {
            self.cut = true;
            self.kept.drain(..over.min(self.kept.len()));
        }
        self.kept.extend_from_slice(bytes);
    }

    /// The text, lossy where it is not UTF-8, trimmed, with `…` in front where the beginning is missing.
    pub(super) fn into_text(self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let text = text.trim();
        if self.cut { format!("…{text}") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let mut tail = Tail::default();
        tail.push(b"hello\n");
        assert_eq!(tail.into_text(), "hello");

        let mut tail = Tail::default();
        for _ in 0..10_000 {
            tail.push(b"0123456789");
        }
        tail.push(b"end");
        let text = tail.into_text();
        assert!(text.starts_with('…') && text.ends_with("789end") && text.len() == OUTPUT_MAX + '…'.len_utf8());

        let mut tail = Tail::default();
        tail.push(&vec![b'x'; 1 << 20]);
        assert_eq!(tail.into_text().len(), OUTPUT_MAX + '…'.len_utf8());
    }

    #[test]
    fn bytes_that_are_not_text_do_no_harm() {
        let mut tail = Tail::default();
        tail.push(&[0xff, b'a', 0xc3]);
        assert_eq!(tail.into_text(), "\u{fffd}a\u{fffd}");
    }
}
