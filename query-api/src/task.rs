//! Work of a request in a task of its own.

use weir_http::Problem;

/// Runs it from now on, whether or not the client waits, and beside whatever else the request does.
pub(crate) fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> impl Future<Output = Result<T, Problem>> {
    let task = tokio::spawn(work);
    async move {
        match task.await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(Problem::internal(&error)),
        }
    }
}
