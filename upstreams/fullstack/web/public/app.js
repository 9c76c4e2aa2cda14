// Two halves that know nothing of each other: when one database is away, only its half says so.

class Half {
  constructor(name, fields) {
    this.fields = fields;
    this.name = name;
    this.section = document.getElementById(name);
    this.list = this.section.querySelector('ul');
    this.form = this.section.querySelector('form');
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.change('POST', '', Object.fromEntries(new FormData(this.form))).then((done) => done && this.form.reset());
    });
  }

  // Asks the API; what goes wrong is shown in this half. Answers nothing then.
  async ask(method, path, data) {
    const body = data && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(data) };
    try {
      const response = await fetch(`/api/${this.name}${path}`, { method, ...body });
      const answer = response.status === 204 ? {} : await response.json();
      if (!response.ok) {
        const details = Object.entries(answer.fields ?? {}).map(([name, problem]) => `${name} ${problem}`);
        throw new Error([answer.error ?? `The server says ${response.status}.`, ...details].join(' '));
      }
      this.tell('');
      return answer;
    } catch (error) {
      this.tell(error.message);
      return undefined;
    }
  }

  tell(message) {
    const trouble = this.section.querySelector('.trouble');
    trouble.textContent = message;
    trouble.hidden = !message;
  }

  async change(method, path, data) {
    const done = await this.ask(method, path, data);
    if (done) await this.show();
    return done;
  }

  async show() {
    const answer = await this.ask('GET', '');
    if (answer) this.list.replaceChildren(...answer[this.name].map((item) => this.row(item)));
  }

  row(item) {
    const row = document.createElement('li');
    const text = document.createElement('span');
    text.textContent = this.fields.map((field) => item[field]).filter(Boolean).join(' · ');
    row.append(text, this.button('Edit', () => this.edit(row, item)), this.button('Delete', () => this.change('DELETE', `/${item.id}`)));
    return row;
  }

  edit(row, item) {
    const inputs = this.fields.map((field) => Object.assign(document.createElement('input'), { name: field, value: item[field] }));
    const save = () => this.change('PATCH', `/${item.id}`, Object.fromEntries(inputs.map((input) => [input.name, input.value])));
    row.replaceChildren(...inputs, this.button('Save', save), this.button('Cancel', () => this.show()));
  }

  button(text, pressed) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: text });
    button.addEventListener('click', pressed);
    return button;
  }
}

for (const half of [new Half('users', ['name', 'email']), new Half('documents', ['title', 'text'])]) {
  half.show();
  // A half in trouble looks again by itself.
  setInterval(() => half.section.querySelector('.trouble').hidden || half.list.querySelector('input') || half.show(), 2000);
}
