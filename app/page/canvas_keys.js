// Keys, and what they do in words: the list behind "?" is made of this.
const touch = matchMedia('(pointer: coarse)').matches;
const SAYS = {
  point: {
    add: touch ? 'Tap a part to add it.' : 'Click a part to add it; right-click takes it away.',
    subtract: touch ? 'Tap a part to take it away.' : 'Click a part to take it away; right-click adds it.',
  },
  box: { add: 'Drag a box around what to add.', subtract: 'Drag a box around what to take away.' },
  lasso: { add: 'Draw around what to add.', subtract: 'Draw around what to take away.' },
  brush: { add: 'Draw over what belongs to the mask.' },
  erase: { subtract: 'Draw over what does not belong to the mask.' },
};
// key, what it does (a method of Surface, or a tool), in words
const KEYS = [
  ['c', 'point', 'Click tool'], ['b', 'box', 'Box'], ['l', 'lasso', 'Lasso'], ['p', 'brush', 'Brush'],
  ['e', 'erase', 'Eraser'], ['x', 'how', 'Add or take away'],
  ['[', 'smaller', 'Smaller brush'], [']', 'larger', 'Larger brush'],
  ['Ctrl+z', 'undo', 'Undo'], ['u', 'undo', 'Undo'], ['Ctrl+Shift+z', 'redo', 'Redo'], ['r', 'redo', 'Redo'],
  ['Ctrl+y', 'redo', 'Redo'], ['Shift+c', 'clear', 'Empty the mask'], ['i', 'invert', 'Invert the mask'],
  ['h', 'hide', 'Hide or show the mask'], ['Ctrl+c', 'copy', 'Copy the picture'], ['0', 'fit', 'The whole picture'], ['1', 'actual', 'Actual size'],
  ['+', 'in', 'Zoom in'], ['-', 'out', 'Zoom out'], ['?', 'help', 'This list'], ['Escape', 'drop', 'Drop what is being drawn'],
];
const MORE_KEYS = [
  ['See the original, over the picture', ['Tab']], ['Move the picture', ['Space + drag', 'middle button']],
  ['Zoom', ['wheel', 'two fingers']], ['Move the cross, on the focused picture', ['arrows']],
  ['Click at the cross; begin and end a shape', ['Enter']],
];
const MARKING = new Set('point box lasso brush erase how smaller larger undo redo clear invert hide drop'.split(' '));
const RADIUS = { brush: true, erase: true };
const other = (how) => (how === 'add' ? 'subtract' : 'add');
const keyOf = (event) => {
  const letter = /^[a-z]$/i.test(event.key), altgr = event.getModifierState('AltGraph');
  const control = (event.ctrlKey || event.metaKey) && !altgr ? 'Ctrl+' : '';
  return control + (event.shiftKey && letter ? 'Shift+' : '') + (letter ? event.key.toLowerCase() : event.key);
};
const typing = (target) => target.isContentEditable || ['TEXTAREA', 'SELECT'].includes(target.tagName)
  || (target.tagName === 'INPUT' && !['range', 'checkbox', 'color'].includes(target.type));

