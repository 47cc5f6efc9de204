#![allow(clippy::unwrap_used)]
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    net::UnixListener,
};

use super::*;

async fn ask(holder: Holder, requests: &[&[u8]]) -> Vec<Vec<u8>> {
    let (mut near, far) = duplex(1 << 10);
    tokio::spawn(async move { holder.serve(far).await });
    let mut answers = Vec::new();
    for request in requests {
        send(&mut near, request).await.unwrap();
        answers.push(receive(&mut near).await.unwrap());
    }
    answers
}

/// Add an identity, remove one, remove all, lock, and an extension.
const OTHERS: &[&[u8]] = &[&[17, 0], &[18, 0], &[19], &[22, 0], &[27, 0], &[]];

#[tokio::test]
async fn a_step_can_do_nothing_to_the_clients_agent_but_use_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    let agent = tokio::spawn(async move {
        let (mut step, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while let Ok(request) = receive(&mut step).await {
            heard.push(request);
            send(&mut step, &[IDENTITIES_ANSWER, 0, 0, 0, 0]).await.unwrap();
        }
        heard
    });
    let requests = [OTHERS, &[&[REQUEST_IDENTITIES]]].concat();
    let answers = ask(Holder::Socket(path), &requests).await;
    assert_eq!(answers.last().unwrap(), &[IDENTITIES_ANSWER, 0, 0, 0, 0]);
    assert!(answers[..OTHERS.len()].iter().all(|answer| *answer == [FAILURE]), "{answers:?}");
    assert_eq!(agent.await.unwrap(), [[REQUEST_IDENTITIES]]);
}

#[tokio::test]
async fn what_is_broken_or_asks_for_another_key_is_refused() {
    let sign = [&[SIGN_REQUEST], string(b"key").as_slice(), &string(b"data"), &[0, 0, 0, 0]].concat();
    let short = [SIGN_REQUEST, 0xff, 0xff, 0xff, 0xff, 1];
    let requests = [OTHERS, &[&sign, &short, &[SIGN_REQUEST], &sign[..sign.len() - 1]]].concat();
    let answers = ask(Holder::Keys(Arc::default()), &requests).await;
    assert!(answers.iter().all(|answer| *answer == [FAILURE]), "{answers:?}");
}

#[tokio::test]
async fn a_message_without_end_is_not_waited_for() {
    let (mut near, far) = duplex(64);
    let served = tokio::spawn(async move { Holder::Keys(Arc::default()).serve(far).await });
    near.write_u32(LARGEST + 1).await.unwrap();
    assert!(served.await.unwrap().is_err());
    assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
}
