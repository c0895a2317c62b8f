/** One order as the shop's application writes it: the order, its lines and its payment in one transaction. */
import type pg from 'pg';

export type NewOrder = {
  customer: number;
  lines: { sku: string; product: string; quantity: number; unitPrice: number }[];
  method: string;
};

const PRODUCTS = [
  'coffee beans, 500 g',
  'hand grinder, small',
  'kettle, large',
  'espresso cups, set of two',
  'scale, small',
];
const METHODS = ['card', 'card', 'paypal', 'sepa'];

/** An order from three numbers in [0, 1). */
export function composeOrder(random: () => number, customers: number): NewOrder {
  const pick = (bound: number): number => Math.floor(random() * bound);
  const lines = Array.from({ length: 1 + pick(3) }, () => {
    const product = pick(PRODUCTS.length);
    return {
      sku: `SKU-${String(product + 1).padStart(4, '0')}`,
      product: PRODUCTS[product] ?? '',
      quantity: 1 + pick(3),
      unitPrice: (199 + pick(9000)) / 100,
    };
  });
  return { customer: 1 + pick(customers), lines, method: METHODS[pick(METHODS.length)] ?? 'card' };
}

/** Writes it; returns its id. Parameters are cast, so that a column whose type somebody changes still takes them. */
export async function insertOrder(client: pg.Client, order: NewOrder): Promise<string> {
  const total = order.lines.reduce((sum, line) => sum + line.quantity * line.unitPrice, 0).toFixed(2);
  await client.query('begin');
  const { rows } = await client.query<{ id: string }>(
    "insert into orders (customer_id, status, total) values ($1, 'paid', $2::text::numeric) returning id",
    [order.customer, total],
  );
  const id = rows[0]?.id ?? '';
  for (const [index, line] of order.lines.entries()) {
    await client.query(
      'insert into order_items (order_id, line, sku, product, quantity, unit_price) values ($1, $2, $3, $4, $5, $6::text::numeric)',
      [id, index + 1, line.sku, line.product, line.quantity, line.unitPrice.toFixed(2)],
    );
  }
  await client.query(
    "insert into payments (order_id, method, amount, status, reference) values ($1, $2, $3::text::numeric, 'captured', $4)",
    [id, order.method, total, `PAY-LIVE-${id}`],
  );
  await client.query('commit');
  return id;
}

/** Ships a few of the newest paid orders, so that rows change as well as appear. */
export async function shipOrders(client: pg.Client): Promise<void> {
  await client.query(
    `update orders set status = 'shipped', updated_at = now()
      where status = 'paid' and created_at < now() - interval '20 seconds' and id > (select max(id) - 200 from orders)`,
  );
}
