import { useCallback, useEffect, useState } from 'react';
import { addNote, deleteNote, health, listNotes } from './api.js';

export function App() {
  const [notes, setNotes] = useState(null);
  const [problem, setProblem] = useState('');
  const [answered, setAnswered] = useState({});

  // Every answer says which replica gave it; counting them shows the balancing.
  const run = useCallback(async (action) => {
    try {
      const { body, servedBy } = await action();
      setAnswered((counts) => ({ ...counts, [servedBy]: (counts[servedBy] ?? 0) + 1 }));
      setProblem('');
      return body;
    } catch (error) {
      setProblem(error.message);
      return undefined;
    }
  }, []);

  const refresh = useCallback(async () => {
    const body = await run(listNotes);
    if (body) setNotes(body.results);
  }, [run]);

  useEffect(() => {
    refresh();
  }, [refresh]);

  async function add(event) {
    event.preventDefault();
    const form = event.currentTarget;
    const title = new FormData(form).get('title').trim();
    if (title && (await run(() => addNote(title)))) {
      form.reset();
      await refresh();
    }
  }

  async function remove(id) {
    await run(() => deleteNote(id));
    await refresh();
  }

  return (
    <main>
      <h1>Notes behind Remora</h1>
      <p className="lead">This page and its API come from different containers through one edge.</p>
      <Health />
      <form onSubmit={add}>
        <input name="title" maxLength={120} placeholder="A new note" aria-label="A new note" required />
        <button>Add</button>
      </form>
      {problem && <p role="alert">{problem}</p>}
      {notes === null ? (
        <p>Loading…</p>
      ) : (
        <ul className="notes">
          {notes.map((note) => (
            <li key={note.id}>
              <span>{note.title}</span>
              <button onClick={() => remove(note.id)} aria-label={`Delete ${note.title}`}>
                ×
              </button>
            </li>
          ))}
          {notes.length === 0 && <li>None yet.</li>}
        </ul>
      )}
      <footer>
        <p>Answered by:</p>
        <ul>
          {Object.entries(answered).map(([replica, count]) => (
            <li key={replica}>
              <code>{replica}</code> {count}
            </li>
          ))}
        </ul>
        <p>
          Status: <a href="/health">page</a>, <a href="/api/health">API</a>; of the edge: <code>remora status</code>
        </p>
      </footer>
    </main>
  );
}

// Asks every two seconds, which also shows a replica leaving and coming back.
function Health() {
  const [state, setState] = useState({ well: null, text: 'asking …' });
  useEffect(() => {
    let timer;
    let gone = false;
    async function ask() {
      try {
        const { body } = await health();
        if (!gone) setState({ well: true, text: `${body.served_by}: database in ${body.database_ms} ms` });
      } catch (error) {
        if (!gone) setState({ well: false, text: error.message });
      }
      if (!gone) timer = setTimeout(ask, 2000);
    }
    ask();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, []);
  return (
    <p className={`health ${state.well === false ? 'ill' : ''}`} aria-live="polite">
      {state.text}
    </p>
  );
}
