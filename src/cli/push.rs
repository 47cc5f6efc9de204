//! `remora push`.

use super::{
    args::{Connection, Push},
    connect::Agent,
    follow, lend,
    pool::Route,
    progress::Progress,
    text,
};
use crate::model::{Failure, PushRequest, Reference, Report};

pub(super) async fn push(connection: &Connection, args: Push) -> Result<(), Failure> {
    let mut progress = Progress::by_itself(args.quiet);
    let mut route = Route::new(connection, args.tags.first().map(Reference::name).unwrap_or_default(), false)?;
    let report = loop {
        let agent = route.next(&mut progress).await?;
        let failure = match push_from(agent, &args.tags, &mut progress).await {
            Ok(report) => break report,
            Err(failure) => failure,
        };
        let notice = route.pass_on(failure, &progress)?;
        progress = Progress::by_itself(args.quiet);
        progress.tell(notice);
    };
    if args.quiet {
        report.pushed.values().for_each(|digest| text::data(digest));
    } else {
        let sent = match report.pushed_bytes {
            Some(bytes) => format!("{} of layers (uncompressed) sent", text::bytes(bytes)),
            None => "this engine does not say how much was sent".to_owned(),
        };
        text::notice(&format!("pushed {} in {}; {sent}", report.tags.join(", "), text::seconds(report.elapsed_ms)));
    }
    Ok(())
}

async fn push_from(mut agent: Agent, tags: &[Reference], progress: &mut Progress) -> Result<Report, Failure> {
    let session = lend::lend(&agent.client, lend::Lending::credentials())?;
    let request = PushRequest { session: Some(session.id.clone()), tags: tags.to_vec(), wait: agent.wait };
    follow::follow(agent.client.push(crate::pb::PushRequest::from(request)), progress).await
}
