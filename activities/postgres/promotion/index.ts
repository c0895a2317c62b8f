/** The activities of a promotion and of its undo. */
export { createCaptureTail } from './capture-tail.js';
export { createEndRecovery } from './end-recovery.js';
export { createFenceNode } from './fence-node.js';
export { createFinishPromotion } from './finish-promotion.js';
export { createKeepOldData } from './keep-old-data.js';
export { createPlanPromotion } from './plan-promotion.js';
export { createPlanUndo } from './plan-undo.js';
export { createRebaseline } from './rebaseline.js';
export { createReturnOldData } from './return-old-data.js';
export { createStartNode } from './start-node.js';
export { createSwapIn } from './swap-in.js';
export { createSwapOut } from './swap-out.js';
export { createTakeBase } from './take-base.js';
