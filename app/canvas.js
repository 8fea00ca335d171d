// A picture to mark: click, box, brush and eraser. Coordinates leave as shares of width and height.
const SAYS = {
  point: 'Click a part to add it, right-click to take it away.',
  box: 'Drag a box around the thing.',
  brush: 'Draw over what belongs to the mask.',
  erase: 'Draw over what does not.',
};
const KEYS = { c: 'point', b: 'box', p: 'brush', e: 'erase' };

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  const root = parentElement.querySelector('.gb');
  const canvas = root.querySelector('canvas');
  const pen = canvas.getContext('2d');
  // kept on the element: this function runs again whenever the picture changes
  const mine = (root.mine ??= { tool: 'point', how: 'add', picture: new Image(), count: 0 });
  const size = root.querySelector('[data-size] input');
  const snap = root.querySelector('[data-snap] input');
  let path = null, how = 'add', cursor = [0.5, 0.5], keyboard = false;

  const draw = () => {
    if (!mine.picture.naturalWidth) return;
    pen.drawImage(mine.picture, 0, 0, canvas.width, canvas.height);
    const w = canvas.width, h = canvas.height;
    pen.lineCap = pen.lineJoin = 'round';
    if (path && mine.tool === 'box') {
      const [a, b] = [path[0], path[path.length - 1]];
      pen.lineWidth = Math.max(2, w / 250);
      pen.strokeStyle = how === 'add' ? '#ff4081' : '#409cff';
      pen.strokeRect(a[0] * w, a[1] * h, (b[0] - a[0]) * w, (b[1] - a[1]) * h);
    } else if (path) {
      pen.lineWidth = 2 * size.value * Math.max(w, h);
      pen.strokeStyle = how === 'add' ? 'rgba(255,64,129,.55)' : 'rgba(64,156,255,.55)';
      pen.beginPath();
      path.forEach(([x, y], k) => (k ? pen.lineTo(x * w, y * h) : pen.moveTo(x * w, y * h)));
      if (path.length === 1) pen.lineTo(path[0][0] * w + 0.1, path[0][1] * h);
      pen.stroke();
    }
    if (keyboard && document.activeElement && root.getRootNode().activeElement === canvas) {
      const [x, y] = [cursor[0] * w, cursor[1] * h];
      pen.lineWidth = 2;
      for (const [colour, d] of [['#000', 1], ['#fff', 0]]) {
        pen.strokeStyle = colour;
        pen.beginPath();
        pen.moveTo(x - 12 + d, y + d); pen.lineTo(x + 12 + d, y + d);
        pen.moveTo(x + d, y - 12 + d); pen.lineTo(x + d, y + 12 + d);
        pen.stroke();
      }
    }
  };

  const show = () => {
    root.querySelectorAll('[data-tool]').forEach((b) =>
      b.setAttribute('aria-pressed', String(b.dataset.tool === mine.tool)));
    const button = root.querySelector('[data-how]');
    const drawing = mine.tool === 'brush' || mine.tool === 'erase';
    button.textContent = mine.how === 'add' ? 'Add' : 'Subtract';
    button.setAttribute('aria-pressed', String(mine.how !== 'add'));
    button.hidden = drawing;
    root.querySelector('[data-size]').hidden = !drawing;
    root.querySelector('[data-snap]').hidden = mine.tool !== 'box';
    canvas.style.touchAction = mine.tool === 'point' ? 'manipulation' : 'none';
    root.querySelector('.say').textContent = SAYS[mine.tool];
  };

  const send = (mark) => setTriggerValue('mark', { ...mark, id: `${Date.now()}-${mine.count++}` });
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const share = (v, low, span) => Math.min(1, Math.max(0, (v - low) / span));
    return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
  };
  const other = (value) => (value === 'add' ? 'subtract' : 'add');

  const finish = () => {
    const points = path;
    path = null;
    if (!points) return;
    if (mine.tool === 'point') send({ kind: 'point', how, points: points.slice(0, 1) });
    else if (mine.tool === 'box') {
      const [a, b] = [points[0], points[points.length - 1]];
      if (Math.abs(a[0] - b[0]) > 0.003 && Math.abs(a[1] - b[1]) > 0.003)
        send({ kind: 'box', how, points: [a, b], snap: snap.checked });
      draw();
    } else send({ kind: 'stroke', how, points: points.slice(0, 5000), radius: Number(size.value) });
  };

  canvas.onpointerdown = (event) => {
    if (event.button === 1) return;
    keyboard = false;
    how = mine.tool === 'erase' ? 'subtract' : mine.tool === 'brush' ? 'add' : mine.how;
    if (event.button === 2) how = other(how);
    canvas.setPointerCapture(event.pointerId);
    path = [at(event)];
    draw();
  };
  canvas.onpointermove = (event) => {
    if (!path) return;
    path.push(at(event));
    draw();
  };
  canvas.onpointerup = finish;
  canvas.onpointercancel = () => { path = null; draw(); };
  canvas.oncontextmenu = (event) => event.preventDefault();

  root.querySelectorAll('[data-tool]').forEach((b) => {
    b.onclick = () => { mine.tool = b.dataset.tool; show(); };
  });
  root.querySelector('[data-how]').onclick = () => { mine.how = other(mine.how); show(); };

  // arrows move a cross, Enter clicks: the picture can be marked without a mouse
  canvas.onkeydown = (event) => {
    const step = event.shiftKey ? 0.05 : 0.01;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (move[event.key]) {
      keyboard = true;
      cursor = cursor.map((v, k) => Math.min(1, Math.max(0, v + move[event.key][k])));
      draw();
      event.preventDefault();
    } else if (event.key === 'Enter' && keyboard) {
      send({ kind: 'point', how: mine.how, points: [cursor] });
      event.preventDefault();
    }
  };
  const onKey = (event) => {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || !target) return;
    if (target.isContentEditable || ['TEXTAREA', 'SELECT'].includes(target.tagName)) return;
    if (target.tagName === 'INPUT' && !['range', 'checkbox'].includes(target.type)) return;
    if (KEYS[event.key]) { mine.tool = KEYS[event.key]; show(); }
    else if (event.key === 'x') { mine.how = other(mine.how); show(); }
    else if (event.key === '[') size.value = Number(size.value) - 0.005;
    else if (event.key === ']') size.value = Number(size.value) + 0.005;
    else if (event.key === 'u') send({ kind: 'undo' });
    else if (event.key === 'r') send({ kind: 'redo' });
    else return;
    event.stopPropagation(); // Streamlit has keys of its own
    event.preventDefault();
  };
  document.addEventListener('keydown', onKey, true);

  canvas.setAttribute('aria-label', data.label);
  mine.picture.onload = () => {
    canvas.width = mine.picture.naturalWidth;
    canvas.height = mine.picture.naturalHeight;
    canvas.style.width = `${Math.max(640, canvas.width)}px`;
    canvas.style.aspectRatio = `${canvas.width} / ${canvas.height}`;
    draw();
    root.dataset.ready = data.stamp;
  };
  mine.picture.src = data.image;
  show();
  return () => document.removeEventListener('keydown', onKey, true);
}
