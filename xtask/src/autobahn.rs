//! The group `conformance`: Autobahn|Testsuite against both roles of our WebSocket.

use crate::context::Context;
use crate::outcome::GroupResult;

/// Runs the cut that fits a normal run, or every case if `full`.
pub(crate) fn run(cx: &Context, _full: bool) -> GroupResult {
    match cx.echo_bin() {
        Ok(_) => GroupResult::skipped("the Autobahn cases are not part of the tests yet"),
        Err(error) => GroupResult::failed(format!("{error:#}")),
    }
}
