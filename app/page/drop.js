// What is dropped anywhere or pasted goes into the page's hidden uploader, as if it were chosen there.
const mine = (window.groundbrushDrop ??= {});
const give = (files) => {
  const field = document.querySelector('.st-key-dropzone input[type=file]');
  if (!field || !files.length) return;
  const data = new DataTransfer();
  data.items.add(files[0]);
  field.files = data.files;
  field.dispatchEvent(new Event('change', { bubbles: true }));
};
const own = (event) => event.target.closest?.('[data-testid="stFileUploaderDropzone"]');
const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
const onOver = (event) => { if (holdsFiles(event) && !own(event)) event.preventDefault(); };
const onDrop = (event) => {
  if (!holdsFiles(event) || own(event)) return;
  event.preventDefault();
  give(event.dataTransfer.files);
};
const onPaste = (event) => { // words that are pasted go where they are typed
  const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith('image/'));
  if (!files.length) return;
  event.preventDefault();
  give(files);
};

export default function () {
  for (const [name, key, listener] of [['dragover', 'over', onOver], ['drop', 'drop', onDrop], ['paste', 'paste', onPaste]]) {
    document.removeEventListener(name, mine[key]);
    mine[key] = listener;
    document.addEventListener(name, listener);
  }
}
