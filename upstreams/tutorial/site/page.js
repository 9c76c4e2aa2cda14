// Asks the API and shows who answered: now, one after another, and how often each.
const apiUrl = document.querySelector('meta[name="api-url"]').content;
const shown = (id) => document.getElementById(id);
const tally = new Map(); // server → answers
const historyLength = 40;

async function ask() {
  try {
    const response = await fetch(apiUrl, { cache: 'no-store', signal: AbortSignal.timeout(12_000) });
    if (!response.ok) throw new Error(`the answer was ${response.status} ${response.statusText}`);
    const { message, served_by: server } = await response.json();
    show(message, server);
  } catch (error) {
    // A browser does not tell a page why another origin refused it, only its console.
    shown('trouble').textContent = `No answer: ${error.message}`;
    shown('message').textContent = 'Nobody answered';
    shown('server').hidden = true;
    shown('trouble').hidden = false;
  }
}

function show(message, server) {
  tally.set(server, (tally.get(server) ?? 0) + 1);
  shown('message').textContent = message;
  shown('server').textContent = server;
  shown('server').hidden = false;
  shown('trouble').hidden = true;
  paint(shown('server'), server);

  const answer = document.createElement('li');
  answer.textContent = server;
  paint(answer, server);
  shown('answers').append(answer);
  if (historyLength < shown('answers').children.length) shown('answers').firstElementChild.remove();
  showTally();
}

function showTally() {
  const most = Math.max(...tally.values());
  shown('tally').replaceChildren(...[...tally].map(([server, count]) => {
    const row = document.createElement('li');
    const [name, bar, number] = ['code', 'span', 'output'].map((tag) => document.createElement(tag));
    name.textContent = server;
    bar.style.width = `${(100 * count) / most}%`;
    number.textContent = count;
    row.append(name, bar, number);
    paint(row, server);
    return row;
  }));
}

// Every server keeps its colour: the first is blue, the second orange, and so on round.
function paint(element, server) {
  element.dataset.colour = [...tally.keys()].indexOf(server) % 6;
}

function startOver() {
  tally.clear();
  shown('answers').replaceChildren();
  shown('tally').replaceChildren();
  shown('message').textContent = 'Nobody yet';
  shown('server').hidden = shown('trouble').hidden = true;
}

let clock;
shown('api').textContent = new URL(apiUrl, location).href;
shown('ask').addEventListener('click', ask);
shown('clear').addEventListener('click', startOver);
shown('auto').addEventListener('change', ({ target }) => {
  clearInterval(clock);
  if (target.checked) clock = setInterval(ask, 1000);
});
ask();
