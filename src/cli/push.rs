//! `remora push`.

use super::{
    args::{Connection, Push},
    connect, follow, lend,
    progress::Progress,
    text,
};
use crate::model::{Failure, PushRequest};

pub(super) async fn push(connection: &Connection, args: Push) -> Result<(), Failure> {
    let mut progress = Progress::by_itself(args.quiet);
    let mut agent = connect::connect_telling(connection, |why| progress.note(why)).await?;
    let session = lend::lend(&agent.client, lend::Lending::credentials())?;
    let request = PushRequest { session: Some(session.id.clone()), tags: args.tags, wait: agent.wait };
    let report = follow::follow(agent.client.push(crate::pb::PushRequest::from(request)), &mut progress).await?;
    if args.quiet {
        report.pushed.values().for_each(|digest| text::data(digest));
    } else {
        text::notice(&format!(
            "pushed {} in {}; {} of layers (uncompressed) sent",
            report.tags.join(", "),
            text::seconds(report.elapsed_ms),
            text::bytes(report.pushed_bytes.unwrap_or_default())
        ));
    }
    Ok(())
}
