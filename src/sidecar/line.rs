//! Lines of bounded length, under deadlines, in both directions.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long a line may take once it has begun, or to be written.
const WHOLE: Duration = Duration::from_secs(5);

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLine {
    #[error("the connection ended")]
    Ended,
    #[error("longer than {0} bytes")]
    TooLong(usize),
    #[error("timed out")]
    Late,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The next line without its line feed: of `most` bytes with it, its first byte within `wait`.
pub(super) async fn read(
    reader: &mut (impl AsyncBufRead + Unpin),
    most: usize,
    wait: Duration,
) -> Result<Vec<u8>, NoLine> {
    let first = timeout(wait, reader.fill_buf()).await.map_err(|_| NoLine::Late)??;
    if first.is_empty() {
        return Err(NoLine::Ended);
    }
    timeout(WHOLE, read_begun(reader, most)).await.map_err(|_| NoLine::Late)?
}

async fn read_begun(reader: &mut (impl AsyncBufRead + Unpin), most: usize) -> Result<Vec<u8>, NoLine> {
    let mut line = Vec::new();
    loop {
        let piece = reader.fill_buf().await?;
        if piece.is_empty() {
            return Err(NoLine::Ended);
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(piece.len(), |end| end + 1);
        if most < line.len() + taken {
            return Err(NoLine::TooLong(most));
        }
        line.extend_from_slice(piece.get(..taken).unwrap_or_default());
        reader.consume(taken);
        if end.is_some() {
            line.pop();
            return Ok(line);
        }
    }
}

/// Writes a line.
pub(super) async fn write(writer: &mut (impl AsyncWrite + Unpin), line: &[u8]) -> Result<(), NoLine> {
    timeout(WHOLE, writer.write_all(line)).await.map_err(|_| NoLine::Late)??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    async fn outcome(bytes: &[u8]) -> String {
        match read(&mut BufReader::with_capacity(4, bytes), 8, SOON).await {
            Ok(line) => String::from_utf8(line).unwrap(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[tokio::test]
    async fn lines_have_a_bound() {
        #[rustfmt::skip]
        let rows: [(&[u8], &str); 6] = [
            (b"a\nb\n",       "a"),
            (b"\n",           ""),
            (b"1234567\n",    "1234567"),
            (b"12345678\n",   "error: longer than 8 bytes"),
            (b"123",          "error: the connection ended"),
            (b"",             "error: the connection ended"),
        ];
        for (bytes, expected) in rows {
            assert_eq!(outcome(bytes).await, expected, "{bytes:?}");
        }
        let endless = vec![b'x'; 10 << 20];
        assert_eq!(outcome(&endless).await, "error: longer than 8 bytes");
    }

    #[tokio::test]
    async fn silence_has_a_deadline() {
        let (mine, _theirs) = tokio::io::duplex(8);
        assert!(matches!(read(&mut BufReader::new(mine), 8, SOON).await, Err(NoLine::Late)));
    }
}
