//! How a session begins to hand out an answer: once one has been judged, or before, behind a client that can't wait.

use std::sync::Arc;

use pingora::Result;
use pingora::http::RequestHeader;
use tokio::time::Instant;

use super::JudgedSession;
use crate::transport::answer::Answer;
use crate::transport::assignment::Assignment;
use crate::transport::clock::before;
use crate::transport::failure::Failure;
use crate::transport::outlet::Outlet;
use crate::transport::search::{self, Found, Search};

impl JudgedSession {
    /// Sends, and reads until the answer can be judged, or until its client must be answered whatever comes.
    pub(super) async fn attempt(&mut self, request: Box<RequestHeader>, assignment: Arc<Assignment>) -> Result<()> {
        let search = assignment.keepalive.filter(|keepalive| keepalive.before_first_token);
        let Some((keepalive, resumable)) = search.zip(assignment.resumable.as_ref()) else {
            let answer = Answer::to(request, &assignment).await.map_err(Failure::into_error)?;
            self.begin(answer, &assignment);
            return Ok(());
        };
        let by = Arc::clone(&resumable.by);
        let mut running = Box::pin(search::attempt(request, Arc::clone(&assignment)));
        match before(Instant::now() + keepalive.every, &mut running).await {
            Ok(answer) => self.begin(answer.map_err(Failure::into_error)?, &assignment),
            Err(_) => {
                self.early = Some(Box::new(search::header()?));
                self.outlet = Outlet::early(assignment.spoken.kind);
                self.search = Some(Box::new(Search::new(by, assignment, keepalive.every, running)));
            }
        }
        Ok(())
    }

    /// Hands out `answer`, the first one, from now on.
    fn begin(&mut self, mut answer: Answer, assignment: &Assignment) {
        self.rejected = answer.evidence.as_ref().and_then(|evidence| {
            let mut header = answer.wire.header()?.clone();
            header.extensions_mut().insert(evidence.clone());
            Some(Box::new(header))
        });
        self.outlet = Outlet::new(&mut answer, assignment);
        self.take_over(answer.wire);
        self.tell_reported();
        if self.rejected.is_some() {
            self.give_back();
        }
    }

    /// Waits for an upstream that begins to answer, behind a client that was answered.
    pub(super) async fn search_on(&mut self) {
        let (Some(search), Some(assignment)) = (&mut self.search, &self.assignment) else {
            return;
        };
        match search.look().await {
            Found::Silence => self.outlet.keep_alive(assignment.spoken.kind),
            Found::Failure => {}
            Found::Answer(mut answer, assignment) => {
                self.search = None;
                self.outlet = Outlet::new(&mut answer, &assignment);
                self.take_over(answer.wire);
                self.assignment = Some(assignment);
                self.tell_reported();
            }
            Found::Nobody(account) => {
                self.search = None;
                self.break_off(Failure::Exhausted(account));
            }
        }
    }
}
