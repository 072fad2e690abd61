/* global Backbone, Portcullis */

const client = Portcullis.createClient();
Portcullis.installBackbone(Backbone, client);

const Orders = Backbone.Collection.extend({ url: '/api/orders' });
const orders = new Orders();
const status = document.querySelector('#status');

orders.on('update change sync', render);
orders.on('error', (_, xhr) => {
  status.textContent = xhr.responseJSON?.title ?? `Failed: ${xhr.statusText || 'no answer'}`;
});

document.querySelector('#new-order').addEventListener('submit', (event) => {
  event.preventDefault();
  const { item, count } = Object.fromEntries(new FormData(event.target));
  orders.create({ item, count: Number(count) }, { wait: true });
  event.target.reset();
});

orders.fetch();

function render() {
  document.querySelector('#orders').replaceChildren(...orders.map(row));
  status.textContent = `${orders.length} orders`;
}

function row(order) {
  const more = document.createElement('button');
  more.textContent = 'One more';
  more.addEventListener('click', () => order.save({ count: order.get('count') + 1 }, { wait: true }));
  const line = document.createElement('tr');
  line.dataset.id = order.id;
  line.append(...[order.id, order.get('item'), order.get('count'), more].map(cell));
  return line;
}

function cell(content) {
  const made = document.createElement('td');
  made.append(content);
  return made;
}

globalThis.shop = { client, orders };
