// Leaving the page with something neither downloaded nor saved needs a confirmation. Enter in the
// field of what to paint paints (a form would, too, but a reload would lose its words). If the
// focused element has gone, the focus moves to what comes next.
const NEXT = {
  painting: '.st-key-cancel button',
  result: '.st-key-keep button, .st-key-drop button',
  marking: '[class*="st-key-find-"] input',
};
const mine = (window.groundbrush ??= {});

const onLeave = (event) => {
  if (mine.unsaved && mine.unsaved !== mine.saved) event.preventDefault();
};
const onClick = (event) => {
  const names = event.composedPath().map((e) => e.dataset?.testid);
  if (names.includes('stDownloadButton')) mine.saved = mine.unsaved;
};
const onKey = (event) => {
  if (event.key !== 'Enter' || !event.target.closest?.('[class*="st-key-paint-"]')) return;
  setTimeout(() => document.querySelector('.st-key-go-paint button')?.click(), 50); // once it is sent
};

const moveFocus = (stage, tries) => {
  const lost = !document.activeElement || document.activeElement === document.body;
  const next = lost && document.querySelector(NEXT[stage]);
  if (next) next.focus({ preventScroll: true });
  else if (tries && mine.stage === stage) setTimeout(moveFocus, 100, stage, tries - 1);
};

export default function (component) {
  const { unsaved, stage } = component.data;
  const moved = mine.stage && mine.stage !== stage;
  Object.assign(mine, { unsaved, stage });
  if (moved && !matchMedia('(pointer: coarse)').matches) moveFocus(stage, 20); // no keyboard pops up
  window.removeEventListener('beforeunload', mine.onLeave);
  document.removeEventListener('click', mine.onClick, true);
  document.removeEventListener('keydown', mine.onKey);
  Object.assign(mine, { onLeave, onClick, onKey });
  window.addEventListener('beforeunload', onLeave);
  document.addEventListener('click', onClick, true);
  document.addEventListener('keydown', onKey);
}
