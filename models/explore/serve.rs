//! The explorer's server: one page and three answers in JSON, on loopback alone.

use crate::{
    catalogue::{self, Entry},
    check::Effort,
    mutants::CATCHES,
};
use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::net::TcpListener;
use vatic_core::rules::{Mutant, Rules};

/// A model that is explored, under all rules or all but one.
#[derive(Clone, Debug)]
pub struct Tour {
    /// The model.
    pub model: Entry,
    /// The broken rule, if one is.
    pub mutant: Option<Mutant>,
    /// Threads of a search.
    pub threads: usize,
}

/// What the page says at its head.
#[derive(Serialize)]
struct Head {
    name: &'static str,
    about: &'static str,
    bounds: String,
    unique_states: Option<usize>,
    mutant: Option<String>,
    /// The property whose violation the mutant is known for.
    violates: Option<&'static str>,
    models: Vec<&'static str>,
}

#[derive(Deserialize)]
struct Place {
    /// Places of steps with points between them.
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct Wanted {
    property: String,
}

/// What a search came to.
#[derive(Serialize)]
struct Found {
    path: Option<Vec<usize>>,
}

/// Answers for a tour until the process ends.
pub async fn serve(tour: Tour, listener: TcpListener) -> std::io::Result<()> {
    axum::serve(listener, router(tour)).await
}

impl Tour {
    fn rules(&self) -> Rules {
        self.mutant.map_or_else(Rules::default, Rules::without)
    }
}

pub(crate) fn router(tour: Tour) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        .route("/api/model", get(head))
        .route("/api/state", get(state))
        .route("/api/find", get(find))
        .with_state(Arc::new(tour))
}

async fn head(State(tour): State<Arc<Tour>>) -> Json<Head> {
    let Entry { name, about, unique_states, .. } = tour.model;
    let bounds = tour.model.bounds.clone();
    let caught = |mutant| {
        let mut catches = CATCHES.iter();
        catches.find(|catch| catch.mutant == mutant && catch.model == name)
    };
    Json(Head {
        name,
        about,
        bounds,
        unique_states,
        mutant: tour.mutant.map(|mutant| format!("{mutant:?}")),
        violates: tour.mutant.and_then(caught).map(|catch| catch.property),
        models: catalogue::all().iter().map(|entry| entry.name).collect(),
    })
}

async fn state(State(tour): State<Arc<Tour>>, Query(place): Query<Place>) -> Response {
    let path: Result<Vec<usize>, _> =
        place.path.split('.').filter(|at| !at.is_empty()).map(str::parse).collect();
    let Ok(path) = path else { return refuse("a path is numbers with points between them") };
    let looked = tokio::task::spawn_blocking(move || tour.model.view(tour.rules(), &path)).await;
    match looked {
        Ok(Some(view)) => Json(view).into_response(),
        _ => refuse("there is no such path in this model"),
    }
}

async fn find(State(tour): State<Arc<Tour>>, Query(wanted): Query<Wanted>) -> Response {
    let search = move || {
        let effort = Effort::exhaustive(tour.threads);
        tour.model.path_to(tour.rules(), &wanted.property, effort)
    };
    match tokio::task::spawn_blocking(search).await {
        Ok(path) => Json(Found { path }).into_response(),
        Err(_) => refuse("the search failed"),
    }
}

fn refuse(why: &'static str) -> Response {
    (StatusCode::NOT_FOUND, why).into_response()
}
