/** The worker's script, served as /.well-known/portcullis/work.js: gets the work, posts the answers. */
import { solving } from './puzzles.js';

self.onmessage = ({ data }) => {
  const search = solving(data);
  let step = search.next();
  while (!step.done) step = search.next();
  self.postMessage(step.value);
};
