//! Serves the blobs of an image that lies in a directory in the layout of OCI, by their digests.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};

use rustix::fs::OFlags;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::{
    chunks::chunks,
    content::{Info, InfoRequest, InfoResponse, ReadRequest, ReadResponse},
    problems::{Problem, Problems},
    root::Root,
};

/// A directory in the layout of OCI. Clones share it.
#[derive(Clone)]
pub struct Layout(Arc<Root>);

pub(super) type Pieces = std::pin::Pin<Box<dyn Stream<Item = Result<ReadResponse, Status>> + Send>>;

impl Layout {
    /// Opens it. Nothing outside of it is read, whatever links it has.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(Root::open(path)?)))
    }

    /// How large a blob is.
    pub(super) fn info(&self, request: InfoRequest, problems: &Problems) -> Result<InfoResponse, Status> {
        let InfoRequest { digest } = request;
        let (_, size) = self.blob(&digest, problems)?;
        Ok(InfoResponse { info: Some(Info { digest, size: size.try_into().unwrap_or(i64::MAX) }) })
    }

    /// What a blob holds.
    pub(super) fn read(&self, request: &ReadRequest, problems: &Problems) -> Result<Pieces, Status> {
        let ReadRequest { digest, offset, size } = request;
        let (mut file, _) = self.blob(digest, problems)?;
        let odd = |_| Status::out_of_range("a part that no blob has");
        let (mut at, size) = (u64::try_from(*offset).map_err(odd)?, u64::try_from(*size).map_err(odd)?);
        file.seek(SeekFrom::Start(at)).map_err(|error| Status::aborted(error.to_string()))?;
        let part = file.take(if size == 0 { u64::MAX } else { size });
        Ok(Box::pin(chunks(part).map(move |piece| {
            let data = piece.map_err(|error| Status::aborted(error.to_string()))?;
            let offset = at.try_into().unwrap_or(i64::MAX);
            at += data.len() as u64;
            Ok(ReadResponse { offset, data })
        })))
    }

    fn blob(&self, digest: &str, problems: &Problems) -> Result<(File, u64), Status> {
        let path = path(digest).ok_or_else(|| Status::invalid_argument("this is no digest"))?;
        let opened = self.0.open_at(path.as_bytes(), OFlags::RDONLY).map_err(io::Error::from);
        let found = opened.map(File::from).and_then(|file| Ok((file.metadata()?.len(), file)));
        match found {
            Ok((size, file)) => Ok((file, size)),
            Err(error) => {
                let what = format!("{}: {error}", self.0.on_disk(path.as_bytes()).display());
                problems.add(Problem::new(what.clone(), "copy the image again: its directory is not whole"));
                Err(Status::not_found(what))
            }
        }
    }
}

/// `blobs/sha256/0123...`
fn path(digest: &str) -> Option<String> {
    let (algorithm, sum) = digest.split_once(':')?;
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (word(algorithm) && word(sum)).then(|| format!("blobs/{algorithm}/{sum}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_blob_is_read_in_parts_and_nothing_else() {
        let all = tempfile::tempdir().unwrap();
        let path = all.path().join("image/blobs/sha256");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("aa"), vec![7; 600_000]).unwrap();
        std::fs::write(all.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../../../secret", path.join("bb")).unwrap();
        let (layout, problems) = (Layout::open(&all.path().join("image")).unwrap(), Problems::default());
        let info = |digest: &str| layout.info(InfoRequest { digest: digest.to_owned() }, &problems);
        assert_eq!(info("sha256:aa").unwrap().info.unwrap().size, 600_000);
        for digest in ["sha256:bb", "sha256:cc", "sha256:../aa", "../secret", "sha256:", ""] {
            assert!(info(digest).is_err(), "{digest}");
        }
        assert!(problems.list()[0].what.contains("blobs/sha256/bb"));
        let part = ReadRequest { digest: "sha256:aa".to_owned(), offset: 100, size: 300_000 };
        let pieces: Vec<_> = layout.read(&part, &problems).unwrap().collect().await;
        let pieces: Vec<_> = pieces.into_iter().map(Result::unwrap).collect();
        assert_eq!(pieces.iter().map(|piece| piece.data.len()).sum::<usize>(), 300_000);
        assert_eq!(pieces[1].offset, 100 + i64::try_from(pieces[0].data.len()).unwrap());
    }
}
