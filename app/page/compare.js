// Two pictures of one size, the first uncovered from the left as far as the slider says.
export default function (component) {
  const { parentElement, data } = component;
  const root = parentElement.querySelector('.cmp');
  const [after, before] = ['.after', '.before'].map((name) => root.querySelector(name));
  const slider = root.querySelector('input');
  const line = root.querySelector('i');
  const pair = root.querySelector('.pair');
  const show = () => {
    before.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
    line.style.left = `${slider.value}%`;
  };
  const drag = (event) => {
    const box = pair.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  };
  pair.onpointerdown = (event) => { pair.setPointerCapture(event.pointerId); drag(event); };
  pair.ondragstart = (event) => event.preventDefault();
  pair.onpointermove = (event) => { if (event.buttons) drag(event); };
  pair.style.touchAction = 'pan-y';
  after.src = data.after;
  before.src = data.before;
  root.style.width = `min(100%, ${70 * data.aspect}vh)`;
  pair.style.aspectRatio = data.aspect;
  after.alt = data.after_label;
  before.alt = data.before_label;
  slider.oninput = show;
  show();
}
