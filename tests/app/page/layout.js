// Faults of layout that a person would see, as lines of text: a page wider than the window, words
// that are cut off, controls that lie on each other or on nothing that can be pressed.
() => {
  const every = (root) => [...root.querySelectorAll('*')].flatMap((e) => [e, ...(e.shadowRoot ? every(e.shadowRoot) : [])]);
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && e.getClientRects().length;
  const name = (e) => `${e.tagName.toLowerCase()} “${(e.getAttribute('aria-label') || e.innerText || e.placeholder || '').trim().slice(0, 40)}”`;
  const main = document.querySelector('[data-testid=stMain]'), faults = [];
  if (main.scrollWidth > innerWidth || document.documentElement.scrollWidth > innerWidth) faults.push('the page is wider than the window');
  const all = every(document.body).filter(shown);
  const controls = all.filter((e) => e.matches('button, input:not([type=file]), textarea, [role=radio], [role=slider]') && !e.closest('[aria-hidden=true]'));
  const boxes = controls.map((e) => [e, e.getBoundingClientRect()]).filter(([, b]) => b.width > 4 && b.height > 4);
  for (const [e, box] of boxes) {
    if (box.left < -1 || box.right > innerWidth + 1) faults.push(`${name(e)} lies outside the window`);
    if (e.matches('button') && e.scrollWidth > e.clientWidth + 2) faults.push(`${name(e)} is cut off`);
  }
  boxes.forEach(([a, one], k) => boxes.slice(k + 1).forEach(([b, two]) => {
    if (a.contains(b) || b.contains(a) || a.closest('label')?.contains(b)) return;
    const wide = Math.min(one.right, two.right) - Math.max(one.left, two.left), high = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
    if (wide > 2 && high > 2) faults.push(`${name(a)} lies on ${name(b)}`);
  }));
  for (const e of all.filter((e) => e.matches('p, label, h1, h2, h3, h4, span, .say') && e.innerText?.trim())) {
    const style = getComputedStyle(e);
    if (style.overflowX === 'hidden' && e.clientWidth && e.scrollWidth > e.clientWidth + 2) faults.push(`${name(e)} is cut off`);
  }
  return faults;
}
