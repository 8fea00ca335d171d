// Asks before the page is left while something is neither downloaded nor saved; Enter in the field
// of what to paint paints. (A form would, too, but sends no words before: a reload would lose them.)
// Where the focused element has gone, the focus moves to what comes next.
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

export default function (component) {
  const { unsaved, stage } = component.data;
  mine.unsaved = unsaved;
  if (mine.stage && mine.stage !== stage) {
    setTimeout(() => {
      const lost = !document.activeElement || document.activeElement === document.body;
      if (lost && !matchMedia('(pointer: coarse)').matches)
        document.querySelector(NEXT[stage])?.focus({ preventScroll: true });
    }, 300);
  }
  mine.stage = stage;
  window.removeEventListener('beforeunload', mine.onLeave);
  document.removeEventListener('click', mine.onClick, true);
  document.removeEventListener('keydown', mine.onKey);
  Object.assign(mine, { onLeave, onClick, onKey });
  window.addEventListener('beforeunload', onLeave);
  document.addEventListener('click', onClick, true);
  document.addEventListener('keydown', onKey);
}
