// Leaving the page with something neither downloaded nor saved needs a confirmation. Enter in the
// field of what to paint paints (a form would, too, but a reload would lose its words). If the
// focused element has gone, the focus moves to what comes next. Known words complete the one being
// typed.
const NEXT = {
  choosing: '.st-key-back button, .st-key-upload button',
  painting: '.st-key-cancel button',
  result: '.st-key-keep button, .st-key-drop button',
  marking: '[class*="st-key-find-"] input',
};
const FIELDS = ['find', 'paint', 'sides-paint', 'instead', 'row'].map((name) => `[class*="st-key-${name}-"] input:not([role=combobox])`).join();
const mine = (window.groundbrush ??= {});

const onLeave = (event) => {
  if (mine.unsaved && mine.unsaved !== mine.saved) event.preventDefault();
};
const onClick = (event) => {
  const names = event.composedPath().map((e) => e.dataset?.testid);
  if (names.includes('stDownloadButton')) mine.saved = mine.unsaved;
};
const onKey = (event) => {
  const field = event.target, { value } = field;
  if (event.key !== 'Enter' || !field.closest?.('[class*="st-key-paint-"]')) return;
  const paint = () => { if (field.value === value) document.querySelector('.st-key-go-paint button')?.click(); };
  setTimeout(paint, 50); // once it is sent, unless Enter took a word of the list
};
const onType = ({ target: field }) => { // the browser shows the list, by mouse and by keys
  if (!mine.words.length || !field.matches?.(FIELDS)) return;
  if (!mine.list) {
    mine.list = Object.assign(document.createElement('datalist'), { id: 'groundbrush-words' });
    document.body.append(mine.list);
  }
  const [, before, part] = /^(.*?)([\p{L}-]*)$/u.exec(field.value), begun = part.toLowerCase();
  const fitting = mine.words.filter((word) => begun && word !== begun && word.startsWith(begun));
  mine.list.replaceChildren(...fitting.map((word) => Object.assign(document.createElement('option'), { value: before + word })));
  field.setAttribute('list', mine.list.id);
};

const moveFocus = (stage, tries) => {
  const lost = !document.activeElement || document.activeElement === document.body;
  const next = lost && document.querySelector(NEXT[stage]);
  if (next) next.focus({ preventScroll: true });
  else if (tries && mine.stage === stage) setTimeout(moveFocus, 100, stage, tries - 1);
};

export default function (component) {
  const { unsaved, stage, words } = component.data;
  const moved = mine.stage && mine.stage !== stage;
  Object.assign(mine, { unsaved, stage, words });
  if (moved && !matchMedia('(pointer: coarse)').matches) moveFocus(stage, 20); // no keyboard pops up
  mine.listening?.abort(); // this runs again with each run of the page
  const { signal } = (mine.listening = new AbortController());
  window.addEventListener('beforeunload', onLeave, { signal });
  document.addEventListener('click', onClick, { capture: true, signal });
  document.addEventListener('keydown', onKey, { signal });
  for (const name of ['focusin', 'input']) document.addEventListener(name, onType, { capture: true, signal });
}
