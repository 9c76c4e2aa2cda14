// Calls to the API: same origin, because one edge serves the page and /api.
async function call(path, options = {}) {
  const response = await fetch(path, {
    ...options,
    headers: { Accept: 'application/json', 'Content-Type': 'application/json' },
    signal: AbortSignal.timeout(15_000),
  });
  const text = await response.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    // an error page that is not JSON; the status says enough
  }
  const servedBy = response.headers.get('X-Served-By') ?? '?';
  if (!response.ok) {
    const reasons = body && typeof body === 'object' ? Object.values(body).flat().join(' ') : response.statusText;
    throw Object.assign(new Error(`${response.status} ${reasons}`), { status: response.status, body });
  }
  return { body, servedBy };
}

export const listNotes = () => call('/api/notes/');
export const addNote = (title) => call('/api/notes/', { method: 'POST', body: JSON.stringify({ title }) });
export const deleteNote = (id) => call(`/api/notes/${id}/`, { method: 'DELETE' });
export const health = () => call('/api/health');
