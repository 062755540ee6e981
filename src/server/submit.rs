//! The transaction service: `Transact`, `Submit`, `GetOutcome`.
//!
//! A one-shot is a stream whose transitions all arrive at once: it goes through the same draft, the
//! same seal and the same votes.

use crate::{
    api::{self, Gateway, Memory, Slot},
    convert,
    foresight::{self, Guide},
    held::Handed,
    load::{self, Entering},
    outcome,
    peer::Origin,
    pipeline::Places,
    status::ApiError,
    strategy::{Course, Wanted},
    stream,
    telemetry::journey::Journey,
};
use fail::fail_point;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;
use vatic_core::{delta::Delta, draft::Draft, id::Tid};
use vatic_proto::v1::{
    self, get_outcome_request::By, outcome::State, transaction_service_server::TransactionService,
};

#[tonic::async_trait]
impl TransactionService for Gateway {
    type TransactStream = Handed<v1::TransactResponse>;

    async fn transact(
        &self,
        request: Request<Streaming<v1::TransactRequest>>,
    ) -> Result<Response<Self::TransactStream>, Status> {
        let principal = api::principal(request.metadata())?;
        let slot = Slot::take(&self.cluster)?;
        let answers = stream::serve(self, principal, request.into_inner(), slot);
        Ok(Response::new(answers))
    }

    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let _admitted = self.admit()?;
        let mut places = Places::none(&self.cluster);
        places.take_one()?;
        let principal = api::principal(request.metadata())?;
        let deadline = self.deadline(&request);
        let request = request.into_inner();
        let entering = self.arrive(request.priority, &principal)?;
        let outcome = self.submit_once(request, principal, entering, deadline).await?;
        match outcome.state() {
            State::Committed => Ok(Response::new(v1::SubmitResponse { outcome: Some(outcome) })),
            _ => Err(ApiError::RolledBack(Box::new(outcome)).into()),
        }
    }

    async fn get_outcome(
        &self,
        request: Request<v1::GetOutcomeRequest>,
    ) -> Result<Response<v1::GetOutcomeResponse>, Status> {
        let principal = api::principal(request.metadata())?;
        let deadline = self.deadline(&request);
        let outcome = match request.into_inner().by {
            Some(By::TransactionId(bytes)) => {
                let what = "a transaction id has 20 bytes".to_owned();
                let tid = Tid::from_bytes(&bytes).ok_or(ApiError::BadFrame { what })?;
                outcome::by_tid(&self.cluster, tid, deadline).await?
            }
            Some(By::RequestId(request)) => {
                let request = convert::request_id(request, principal, self.clock_ahead_max_ms())?;
                outcome::by_request(&self.cluster, request, deadline).await?
            }
            None => {
                let what = "neither transaction_id nor request_id".to_owned();
                return Err(ApiError::BadFrame { what }.into());
            }
        };
        Ok(Response::new(v1::GetOutcomeResponse { outcome: Some(outcome) }))
    }
}

impl Gateway {
    pub(crate) async fn submit_once(
        &self,
        request: v1::SubmitRequest,
        principal: String,
        entering: Entering,
        deadline: Instant,
    ) -> Result<v1::Outcome, ApiError> {
        let place = self.entered(entering, deadline).await?;
        let mut journey = Journey::begun(&self.cluster);
        let span = journey.span();
        let finished = self.finish_once(request, principal, deadline, &mut journey);
        let finished = finished.instrument(span).await;
        place.end(outcome::by_conflict(&finished));
        journey.end(match &finished {
            Ok(outcome) => outcome::ending(outcome),
            Err(error) => outcome::ending_of(error),
        });
        finished
    }

    async fn finish_once(
        &self,
        request: v1::SubmitRequest,
        principal: String,
        deadline: Instant,
        journey: &mut Journey,
    ) -> Result<v1::Outcome, ApiError> {
        let mut memory = Memory::new(&self.cluster);
        let urgency = load::urgency(request.priority, request.rollbacks)?;
        let origin = Origin::of(&principal, request.token).with_urgency(urgency);
        let mut guide = Guide::at_once(&self.foresight, &principal, &self.cluster);
        let wanted = Wanted::parse(request.isolation, request.strategy)?;
        let mut course = Course::new(&self.cluster, wanted, origin);
        let seen = |delta: &Delta| {
            course.settle(&delta.key);
            guide.step(delta);
        };
        let mut draft = self.submitted(request, principal, &mut memory, seen)?;
        journey.know(&draft);
        let sealed = Instant::now();
        let judged = (&mut draft, &mut course);
        foresight::judge(&self.cluster, &mut guide, judged, deadline).await?;
        let finished = course.finish_at_once(draft, origin, deadline).await;
        guide.ended(outcome::end(&finished));
        journey.coordinated(sealed);
        finished
    }

    fn submitted(
        &self,
        request: v1::SubmitRequest,
        principal: String,
        memory: &mut Memory,
        mut seen: impl FnMut(&Delta),
    ) -> Result<Draft, ApiError> {
        let seed = request.seed.map(|seed| convert::hash(&seed, "seed")).transpose()?;
        let mut draft = self.draft(seed)?;
        let mut deltas = Vec::with_capacity(request.transitions.len());
        let mut placed = Vec::with_capacity(request.transitions.len());
        for transition in request.transitions {
            let sent = transition.digest.as_deref();
            let digest = sent.map(|digest| convert::hash(digest, "digest")).transpose()?;
            placed.push((transition.seq, digest));
            let delta = convert::delta_bytes(transition)?;
            self.check_delta(&delta)?;
            memory.take(delta.len() as u64)?;
            deltas.push(delta);
        }
        let claims = || {
            fail_point!("server::claim", |_| false);
            true
        };
        if let Some(request) = request.request_id.filter(|_| claims()) {
            let request = convert::request_id(request, principal, self.clock_ahead_max_ms())?;
            draft.claim(request, convert::content(&deltas))?;
        }
        for (delta, (seq, digest)) in deltas.into_iter().zip(placed) {
            draft.push_seen(delta, Some(seq), digest, &mut seen)?;
        }
        Ok(draft)
    }
}
